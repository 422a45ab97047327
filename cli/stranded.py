"""What waits for a person: records that are set aside, and messages that nobody can handle. Rows for `longhaul status`."""

from __future__ import annotations

from typing import Any

from redis import Redis

from longhaul.crawls.store import CrawlLimits, CrawlStore
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.dead_letters import MOST, DeadLetters
from longhaul.ledger.quarantine import Quarantine, Quarantined
from longhaul.process.terminal import clock, legible

NAMED = 5


def quarantined(redis: Redis) -> dict[str, Quarantine]:
    """What is set aside of each kind of record."""
    return {"jobs": JobStore(redis, JobLimits()).quarantine, "crawls": CrawlStore(redis, CrawlLimits()).quarantine}


def stranded(redis: Redis) -> list[dict[str, Any]]:
    """A row {"what", "count"} for each kind of which there is something, each followed by the first of them with their
    reasons.
    """
    lines: list[dict[str, Any]] = []
    for name, aside in quarantined(redis).items():
        if count := aside.count():
            lines.append({"what": f"{name} set aside", "count": count, "note": "see `longhaul retry`"})
            lines += [_record(one) for one in aside.first(NAMED)]
    letters = DeadLetters(redis)
    if count := letters.count():
        lines.append({"what": "dead letters", "count": count, "note": "see `longhaul retry --dead-letters`"})
        lines += [_letter(letter) for letter in letters.newest(NAMED)]
    if dropped := letters.dropped():
        lines.append(
            {"what": "dead letters dropped", "count": dropped, "note": f"lost: the list keeps the newest {MOST:,}"}
        )
    return lines


def _record(one: Quarantined) -> dict[str, Any]:
    id_ = legible(one.id)
    return {"what": "set aside", "id": id_, "note": f"{id_}: {one.words} ({one.origin}, since {clock(one.since)})"}


def _letter(letter: dict[str, str]) -> dict[str, Any]:
    task, size, queue = letter["task"] or "no task", letter["size"], letter["queue"]
    return {"what": "dead letter", "note": f"{task}, {size} bytes in queue {queue}: {letter['reason']}"}
