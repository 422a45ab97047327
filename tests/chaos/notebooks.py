"""What the consumers wrote down, one line an entry; what was read twice is there once, what was in a stream twice is
there twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Note = dict[str, Any]


@dataclass
class Notes:
    """Entries by what they are about, each with the queue that it was `in`. `pages` by crawl."""

    jobs: dict[str, list[Note]] = field(default_factory=lambda: defaultdict(list))
    crawls: dict[str, list[Note]] = field(default_factory=lambda: defaultdict(list))
    pages: dict[str, list[Note]] = field(default_factory=lambda: defaultdict(list))
    read_again: int = 0


def read(folder: Path) -> Notes:
    """All notebooks of a folder."""
    notes = Notes()
    seen: set[tuple[str, str]] = set()
    for path in sorted(folder.iterdir()):
        queue = path.name.split(".")[0]
        for note in _lines(path.read_text().splitlines()):
            if (queue, note["entry"]) in seen:
                notes.read_again += 1
                continue
            seen.add((queue, note["entry"]))
            note["in"] = queue
            match note["kind"]:
                case "job":
                    notes.jobs[note["id"]].append(note)
                case "crawl":
                    notes.crawls[note["id"]].append(note)
                case _:
                    notes.pages[note["crawlId"]].append(note)
    return notes


def _lines(lines: Iterable[str]) -> Iterable[Note]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            # Killed while it wrote, so not acknowledged: somebody else has the entry.
            return
