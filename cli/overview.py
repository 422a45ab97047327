"""What `longhaul status` says of the books: jobs and crawls by state, and what is due. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longhaul.ledger.due import Books, Lane
from longhaul.ledger.quarantine import PREFIX
from longhaul.process.terminal import clock
from longhaul.work.balance import balance


def overview(spaces: Mapping[str, Books]) -> tuple[list[dict[str, Any]], list[str]]:
    """(a row {"what", "count", "note"} for each figure, what does not balance). `spaces`: the books of `jobs` and of
    `crawls`; a space that never had a record, other than `jobs`, has no rows.
    """
    lines: list[dict[str, Any]] = []
    faults: list[str] = []
    for name, books in spaces.items():
        page = balance(books)
        faults += [f"{name}: {fault}" for fault in page.faults]
        if name == "jobs" or page.submitted or page.faults:
            lines += _space(name, books)
    return lines, faults


def working(books: Books) -> list[Lane]:
    """The lanes that somebody works off; the others hold what is set aside."""
    return [lane for lane in books.lanes if not lane.name.startswith(PREFIX)]


def _space(name: str, books: Books) -> Iterator[dict[str, Any]]:
    page = balance(books)
    # The bare word is that of the jobs.
    yield {"what": "submitted" if name == "jobs" else f"{name} submitted", "count": page.submitted}
    yield from ({"what": f"{name} {state.value}", "count": count} for state, count in page.states.items())
    if (pages := books.counts.get("pages")) is not None:
        yield {"what": f"{name} pages", "count": pages, "note": "taken in"}
    for lane in sorted(working(books), key=lambda lane: lane.name):
        paused = f"paused until {clock(lane.paused_until)}: {lane.reason}" if lane.paused_until else ""
        late = f"oldest due since {clock(lane.oldest)}" if lane.due else ""
        yield {"what": f"due {lane.name}", "count": lane.due, "note": paused or late}
