"""Results queues: Redis streams that consumers read in groups, at least once.

Any language can do what `Reader` does: XREADGROUP, then XACK and XDEL of what is safe, and XAUTOCLAIM of what a dead
consumer left. An entry has one field, `envelope`, of JSON. Consumers deduplicate by the envelope's `id`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

PREFIX = "longhaul:results:"
# A name with a colon could escape its key space.
QUEUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
QUEUE_RULE = "must be 1 to 64 letters, digits, '_', '-' or '.', beginning with a letter or digit"


def stream(queue: str) -> str:
    """The key of results queue `queue`."""
    return PREFIX + queue


@dataclass(frozen=True, slots=True)
class Entry:
    """One envelope in the queue; `id` is the entry's, for `acknowledge`, not the job's."""

    id: str
    envelope: dict[str, Any]


class Reader:
    """One consumer of a group on one results queue.

    A group is made at its first use and begins with the oldest entry. `acknowledge` deletes what it acknowledges, so
    one queue serves one group: give a second application a queue of its own. Raises `ValueError` for a name that no
    results queue can have.
    """

    def __init__(self, redis: Redis, queue: str, group: str, consumer: str) -> None:
        self._redis = redis
        self._stream = stream(queue)
        self._group = group
        self._consumer = consumer
        if not QUEUE_NAME.fullmatch(queue):
            raise ValueError(f"queue: {queue!r}: {QUEUE_RULE}")
        try:
            redis.xgroup_create(self._stream, group, id="0", mkstream=True)
        except ResponseError as error:
            # The group is there.
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, count: int = 100, block: float | None = None) -> list[Entry]:
        """Up to `count` new envelopes; waits up to `block` seconds (below 10) for the first, not at all where it is
        None.
        """
        answer = self._redis.xreadgroup(
            self._group,
            self._consumer,
            {self._stream: ">"},
            count=count,
            block=None if block is None else max(1, int(block * 1000)),
        )
        return _entries(answer)

    def take_over(self, idle: float, count: int = 100) -> list[Entry]:
        """Up to `count` envelopes that a consumer of this group, perhaps this one before it was restarted, has held for
        `idle` seconds.
        """
        taken: list[Entry] = []
        cursor = "0-0"
        # One call reads at most ten times its count; behind those may be more.
        while len(taken) < count:
            cursor, entries, *_ = self._redis.xautoclaim(
                self._stream,
                self._group,
                self._consumer,
                min_idle_time=int(idle * 1000),
                start_id=cursor,
                count=count - len(taken),
            )
            taken += [_entry(id_, fields) for id_, fields in entries if fields]
            if cursor == "0-0":
                break
        return taken

    def acknowledge(self, entries: Iterable[Entry]) -> None:
        """Say that these envelopes are safe with the consumer, and delete them."""
        ids = [entry.id for entry in entries]
        if not ids:
            return
        pipe = self._redis.pipeline(transaction=True)
        pipe.xack(self._stream, self._group, *ids)
        pipe.xdel(self._stream, *ids)
        pipe.execute()


def _entries(answer: Any) -> list[Entry]:
    """RESP2 gives [[stream, entries]], RESP3 {stream: [entries]}."""
    if not answer:
        return []
    entries = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))[0]
    return [_entry(id_, fields) for id_, fields in entries]


def _entry(id_: str, fields: dict[str, str]) -> Entry:
    return Entry(id_, json.loads(fields["envelope"]))
