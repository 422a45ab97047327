"""The journals of the consumers: one line for each entry of a results queue. An entry that was read twice counts once;
an envelope that was in a queue twice counts twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
"""The fields of an envelope that the checker needs, with its entry id and the queue that it was `in`."""


@dataclass
class Journals:
    """All entries, by the id of their job or crawl; `pages` by the id of their crawl. `reread`: entries that were read
    again after a consumer was killed.
    """

    jobs: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    crawls: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    pages: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    reread: int = 0


def read_journals(folder: Path) -> Journals:
    """Read all journals of a folder."""
    journals = Journals()
    seen: set[tuple[str, str]] = set()
    for path in sorted(folder.iterdir()):
        queue = path.name.split(".")[0]
        for entry in _entries(path.read_text().splitlines()):
            if (queue, entry["entry"]) in seen:
                journals.reread += 1
                continue
            seen.add((queue, entry["entry"]))
            entry["in"] = queue
            match entry["kind"]:
                case "job":
                    journals.jobs[entry["id"]].append(entry)
                case "crawl":
                    journals.crawls[entry["id"]].append(entry)
                case _:
                    journals.pages[entry["crawlId"]].append(entry)
    return journals


def _entries(lines: Iterable[str]) -> Iterable[Entry]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            # The consumer was killed while it wrote, so it has not acknowledged the entry: another one has it.
            return
