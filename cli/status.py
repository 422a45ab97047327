"""`longhaul status`: how many jobs and crawls are where, what waits for a person, and what is in the results queues."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click
from redis import Redis

from cli.client import opened_runtime
from longhaul.ledger.dead_letters import MOST, DeadLetters
from longhaul.ledger.due import Books, Lane
from longhaul.ledger.quarantine import PREFIX as QUARANTINE_LANE
from longhaul.ledger.quarantine import Quarantine, Quarantined
from longhaul.ledger.results import PREFIX as RESULTS_QUEUE
from longhaul.process.terminal import clock, legible, rows, say
from longhaul.work.balance import balance
from tasks.plumbing.runtime import Runtime

NAMED = 5
"""How many of the records and messages that wait for a person are shown of each kind."""
SCAN_KEYS = 10_000


@click.command()
def status() -> None:
    """Say how many jobs and crawls are where, which accounts are paused, what waits for you to decide, and what is in
    the results queues.
    """
    with opened_runtime() as runtime:
        lines, faults = books_rows({name: store.books() for name, store in runtime.families.items()})
        lines += waiting_rows(quarantines(runtime), DeadLetters(runtime.redis))
        lines += _queue_rows(runtime.redis)
    rows(["what", "count", "note"], lines)
    for fault in faults:
        say(f"The books do not balance: {fault}")
    if faults:
        sys.exit(1)


def books_rows(books_of: Mapping[str, Books]) -> tuple[list[dict[str, Any]], list[str]]:
    """(a row {"what", "count", "note"} for each figure, what does not balance), from the books of each family by its
    name; a family other than `jobs` that never had a record has no rows.
    """
    lines: list[dict[str, Any]] = []
    faults: list[str] = []
    for name, books in books_of.items():
        page = balance(books)
        faults += [f"{name}: {fault}" for fault in page.faults]
        if name == "jobs" or page.submitted or page.faults:
            lines += _family_rows(name, books)
    return lines, faults


def working_lanes(books: Books) -> list[Lane]:
    """The lanes that batches work off; the others hold what is in quarantine."""
    return [lane for lane in books.lanes if not lane.name.startswith(QUARANTINE_LANE)]


def quarantines(runtime: Runtime) -> dict[str, Quarantine]:
    """The quarantine of each family by its name."""
    return {name: store.quarantine for name, store in runtime.families.items()}


def waiting_rows(quarantine_of: Mapping[str, Quarantine], letters: DeadLetters) -> list[dict[str, Any]]:
    """What waits for a person: a row {"what", "count"} for each kind of which there is something, each followed by the
    first of them with their reasons.
    """
    lines: list[dict[str, Any]] = []
    for name, quarantine in quarantine_of.items():
        if count := quarantine.count():
            lines.append({"what": f"{name} in quarantine", "count": count, "note": "see `longhaul retry`"})
            lines += [_record_row(one) for one in quarantine.first(NAMED)]
    if count := letters.count():
        lines.append({"what": "dead letters", "count": count, "note": "see `longhaul retry --dead-letters`"})
        lines += [_letter_row(letter) for letter in letters.newest(NAMED)]
    if dropped := letters.dropped():
        lines.append(
            {"what": "dead letters dropped", "count": dropped, "note": f"lost: the list keeps the newest {MOST:,}"}
        )
    return lines


def _family_rows(name: str, books: Books) -> Iterator[dict[str, Any]]:
    page = balance(books)
    # The bare word belongs to the jobs.
    yield {"what": "submitted" if name == "jobs" else f"{name} submitted", "count": page.submitted}
    yield from ({"what": f"{name} {state.value}", "count": count} for state, count in page.states.items())
    if (pages := books.counts.get("pages")) is not None:
        yield {"what": f"{name} pages", "count": pages, "note": "received"}
    for lane in sorted(working_lanes(books), key=lambda lane: lane.name):
        paused = f"paused until {clock(lane.paused_until)}: {lane.reason}" if lane.paused_until else ""
        late = f"oldest due since {clock(lane.oldest)}" if lane.due else ""
        yield {"what": f"due {lane.name}", "count": lane.due, "note": paused or late}


def _queue_rows(redis: Redis) -> list[dict[str, Any]]:
    # The whole key space is walked, each job's keys with it: in large steps.
    keys = redis.scan_iter(match=f"{RESULTS_QUEUE}*", count=SCAN_KEYS, _type="stream")
    return [{"what": f"queue {key.removeprefix(RESULTS_QUEUE)}", "count": redis.xlen(key)} for key in sorted(keys)]


def _record_row(one: Quarantined) -> dict[str, Any]:
    id_ = legible(one.id)
    return {"what": "in quarantine", "id": id_, "note": f"{id_}: {one.words} ({one.origin}, since {clock(one.since)})"}


def _letter_row(letter: dict[str, str]) -> dict[str, Any]:
    task, size, queue = letter["task"] or "no task", letter["size"], letter["queue"]
    return {"what": "dead letter", "note": f"{task}, {size} bytes in queue {queue}: {letter['reason']}"}
