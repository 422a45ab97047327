"""Messages that no worker can handle, kept until a person sends them again or deletes them.

The stream `longhaul:dead-letters` holds the newest ten thousand. Beyond them the oldest is dropped for each that comes,
and counted in `longhaul:dead-letters:dropped` until the stream has been emptied. An entry has `queue`, `reason`, `task`
and `size` to be shown, and the message itself in `letter`: it may contain secrets, so nothing shows it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

STREAM = "longhaul:dead-letters"
DROPPED = f"{STREAM}:dropped"
MOST = 10_000
CHUNK = 100
LONGEST = 200
SHOWN = ("queue", "task", "reason", "size")
SHOWING = ("argsrepr", "kwargsrepr")
"""Headers that only show what the body holds."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message, whole, with the `queue` it came from and the `reason` why it stays here."""

    queue: str
    reason: str
    body: bytes
    content_type: str = ""
    content_encoding: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """The name of the task that it asks for, if it has one."""
        return str(self.headers.get("task") or "")[:LONGEST] if isinstance(self.headers, Mapping) else ""


class DeadLetters:
    """The dead letters in the ledger at `redis`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def keep(self, letter: DeadLetter) -> int:
        """Keep a message; how many of the oldest were dropped for it, which are lost. Raises what redis-py raises.

        One that is kept twice, for its worker died, is there twice.
        """
        headers = {name: value for name, value in letter.headers.items() if name not in SHOWING}
        document = {
            "body": base64.b64encode(letter.body).decode(),
            "content_type": letter.content_type,
            "content_encoding": letter.content_encoding,
            "headers": headers,
            "properties": dict(letter.properties),
        }
        fields: dict[Any, Any] = {
            "queue": letter.queue,
            "reason": letter.reason[:LONGEST],
            "task": letter.task,
            "size": len(letter.body),
        }
        fields["letter"] = json.dumps(document, default=str)
        pipe = self._redis.pipeline(transaction=True)
        pipe.xadd(STREAM, fields)
        pipe.xtrim(STREAM, maxlen=MOST, approximate=False)
        _, dropped = pipe.execute()
        if dropped:
            self._redis.incrby(DROPPED, dropped)
        return int(dropped)

    def count(self) -> int:
        """How many there are."""
        return int(self._redis.xlen(STREAM))

    def dropped(self) -> int:
        """How many were dropped for newer ones since there were none."""
        return int(str(self._redis.get(DROPPED) or 0))

    def newest(self, most: int) -> list[dict[str, str]]:
        """Of the newest ones, newest first, what may be shown: `queue`, `task`, `reason`, `size` in bytes."""
        redis: Any = self._redis
        return [{name: fields.get(name, "") for name in SHOWN} for _, fields in redis.xrevrange(STREAM, count=most)]

    def each(self) -> Iterator[tuple[str, DeadLetter]]:
        """(entry's id, message), oldest first, of those that are there now; what comes meanwhile is left for the next
        time.
        """
        for id_, fields in self._entries():
            document = json.loads(fields["letter"])
            body = base64.b64decode(document.pop("body"))
            yield id_, DeadLetter(fields["queue"], fields["reason"], body, **document)

    def forget(self, ids: Sequence[str]) -> None:
        """Delete these entries, and with the last one the count of those that were dropped."""
        if ids:
            self._redis.xdel(STREAM, *ids)
            if not self.count():
                self._redis.delete(DROPPED)

    def _entries(self) -> Iterator[tuple[str, dict[str, str]]]:
        # Its types in the library are those of either protocol.
        redis: Any = self._redis
        newest = redis.xrevrange(STREAM, count=1)
        after = "-"
        while newest:
            entries = redis.xrange(STREAM, min=after, max=newest[0][0], count=CHUNK)
            yield from entries
            if len(entries) < CHUNK:
                return
            after = f"({entries[-1][0]}"
