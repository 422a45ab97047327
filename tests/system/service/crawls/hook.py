"""What a crawl delivers."""

from __future__ import annotations

import json
from typing import Any

from tests.service_target import Target


class Hook:
    """What a crawl delivers to one path of the target."""

    def __init__(self, target: Target, path: str = "/hook") -> None:
        self._target, self._path = target, path
        self.callback = {"type": "webhook", "url": target.base + path}

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self._target.at(self._path)]

    @property
    def pages(self) -> list[dict[str, Any]]:
        return [document for document in self.documents if "jobState" not in document]

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [document for document in self.documents if "jobState" in document]
