"""What is due: claim it under a lease, give it its next action, or end it. Each verb is one script, atomic, fenced.

The *fence* is a number that grows at every claim and every move. A writer states the fence that it saw; where the
record has moved on, the write is refused as `stale`. The *lease* is the due time itself: claimed work is due again when
its lease ends, with no reaper and no heartbeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError

from longhaul.ledger.async_lua import AsyncLua
from longhaul.ledger.connection import AWAY
from longhaul.ledger.lane_limit import UNLIMITED, LaneLimit
from longhaul.ledger.lua import Clock, Lua, ScriptCall, Transitions, Value
from longhaul.ledger.records import Books, Claim, Fields, HighWater, Lane, NewRecord, Row, StoredResult, Written
from longhaul.ledger.script import LEDGER
from longhaul.ledger.versions import FIELD, Versions, say_newer

__all__ = [
    "Books",
    "Claim",
    "Clock",
    "Due",
    "Fields",
    "HighWater",
    "Lane",
    "NewRecord",
    "Row",
    "StoredResult",
    "Written",
]

REMEMBERED = 60


class Due:
    """One space of records and its index of what is due.

    `blobs` names the strings beside a record, `clock` (epoch seconds) replaces the server's time in tests, `own` is a
    folder of further scripts for `calling`, `versions` says which version of records is known.
    """

    def __init__(
        self,
        redis: Redis,
        space: str,
        transitions: Transitions,
        *,
        blobs: Sequence[str] = (),
        clock: Clock | None = None,
        own: Traversable = LEDGER,
        versions: Versions | None = None,
    ) -> None:
        self.redis = redis
        self.space = space
        self._lua = Lua(redis, space, transitions, own=own, clock=clock)
        self._blobs = tuple(blobs)
        self._versions = versions or Versions()

    def create(self, records: Sequence[NewRecord]) -> list[bool]:
        """Write the records that are not there yet; says of each whether it was written now."""
        present = {FIELD: self._versions.present}
        rows = [
            {
                "id": new.id,
                "state": new.state,
                "lane": new.lane,
                "fields": {**present, **new.fields},
                "blobs": new.blobs,
            }
            for new in records
        ]
        return [written == 1 for written in self._lua.run("create", records=rows)]

    def claim(
        self,
        lane: str,
        *,
        limit: int,
        lease: float,
        count: str = "",
        cancelled_lane: str = "",
        step: str = "",
        token: str = "",
        deadline: float = 0.0,
        high_water: HighWater | None = None,
        allowed: LaneLimit = UNLIMITED,
        blobs: Sequence[str] | None = None,
    ) -> Claim:
        """Take up to `limit` due records of `lane` for `lease` seconds, oldest first; counts the field `count` up.

        Of a paused lane only records older than `deadline` seconds are taken. Where `allowed` allows fewer than
        `limit`, there is no `more`. Records of an older version are brought up to date, those of a newer one are not
        taken.
        """
        blobs = self._blobs if blobs is None else blobs
        now, pauses, more, probe, newer, *taken = self._lua.run(
            "claim",
            lane=lane,
            limit=allowed.size_of(limit),
            lease=lease,
            counted=count,
            cancelled_lane=cancelled_lane,
            step=step,
            token=token,
            deadline=deadline,
            version=self._versions.present,
            blobs=blobs,
            **(high_water or HighWater()).arguments(),
            **allowed.arguments(),
        )
        say_newer(self.space, newer)
        found = [Row(id_, _pairs(flat), dict(zip(blobs, values, strict=True))) for id_, flat, *values in taken]
        rows, changes = self._versions.migrate(found)
        self.run([self._lua.call("migrate", **change) for change in changes])
        return Claim(float(now), pauses, more == 1, rows, probe == 1)

    def moving(
        self,
        row_id: str,
        fence: int,
        state: str,
        lane: str,
        due: float | None,
        *,
        cancelled_lane: str = "",
        set_fields: Fields | None = None,
        add: Mapping[str, int] | None = None,
    ) -> ScriptCall:
        """The call that gives a claimed record its next action at `due` (epoch seconds; None: it leaves the index)."""
        return self._lua.call(
            "move",
            id=row_id,
            fence=fence,
            state=state,
            lane=lane,
            due=due,
            cancelled_lane=cancelled_lane,
            fields=set_fields or {},
            add=add or {},
        )

    def finishing(
        self,
        row_id: str,
        fence: int,
        state: str,
        *,
        keep: int,
        stream: str = "",
        envelope: str | bytes = "",
        result: StoredResult | None = None,
        next_lane: str = "",
        set_fields: Fields | None = None,
        only_if: tuple[str, Value] = ("", ""),
        outlive: Sequence[str] = (),
        forget: Sequence[str] = (),
    ) -> ScriptCall:
        """The call that ends a record: state, envelope into `stream`, `result`, and the index entry gone, all in one.

        `keep`: seconds for which the record stays; blobs in `outlive` stay as long, those in `forget` go. `only_if`: a
        field and the value that it must still have, 0 where it is absent; else `stale`.
        """
        return self._lua.call(
            "finish",
            id=row_id,
            fence=fence,
            state=state,
            keep=keep,
            stream=stream,
            envelope=envelope,
            result_key=result.key if result else "",
            result=result.value if result else "",
            result_ttl=result.ttl if result else 0,
            next_lane=next_lane,
            guard_field=only_if[0],
            guard_value=only_if[1],
            fields=set_fields or {},
            outlive=outlive,
            forget=forget,
        )

    def calling(self, name: str, /, **values: Any) -> ScriptCall:
        """The call of one of the space's own scripts, with its arguments by name, but for `now`."""
        return self._lua.call(name, **values)

    def run(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run calls of own scripts, mixed with others if need be, in one round trip; their answers in order."""
        return self._lua.run_all(calls) if calls else []

    def awaited(self, redis: AsyncRedis) -> AsyncLua:
        """The same scripts, for the event loop that `redis` belongs to."""
        return AsyncLua(self._lua, redis)

    def write(self, calls: Sequence[ScriptCall]) -> list[Written]:
        """Run `moving` and `finishing` calls in one round trip; says of each what became of it."""
        return self._lua.run_all(calls) if calls else []

    def write_each(self, calls: Sequence[ScriptCall]) -> list[Written | ResponseError]:
        """Like `write`, but returns what the server refuses instead of raising it; raises what will pass by itself."""
        answers = self._lua.run_each(calls) if calls else []
        for answer in answers:
            if isinstance(answer, AWAY):
                raise answer
        return answers

    def cancel(self, row_id: str, cancelled_lane: str, state: str = "") -> str:
        """Mark a record as cancelled: `marked`, `missing`, or the state that it had already ended in.

        `state`: what it is taken to be in where its own is none that the table knows.
        """
        return str(self._lua.run("cancel", id=row_id, lane=cancelled_lane, state=state))

    def dispatch(
        self,
        step: str,
        lanes: Sequence[str],
        *,
        size: int,
        most: int,
        lease: float,
        limits: Mapping[str, LaneLimit] | None = None,
    ) -> list[tuple[str, str]]:
        """(lane, token) of each batch to start now: as many as there is due work for, at most `most` at once in all
        processes; `limits` of lanes that have some.
        """
        limited = [(lane, (limits or {}).get(lane, UNLIMITED)) for lane in lanes]
        rows = [{"lane": lane, "own_size": limit.size, **limit.arguments()} for lane, limit in limited]
        flat = self._lua.run("dispatch", step=step, size=size, most=most, lease=lease, lanes=rows)
        return list(pairwise(flat))[::2]

    def ticked(self) -> float | None:
        """When `dispatch` last ran, epoch seconds; None where it never has."""
        return _time(str(self.redis.get(f"{self.space}:ticked") or ""))

    def lanes(self) -> list[str]:
        """Every lane that ever held a record, by name."""
        return sorted(str(name) for name in self.redis.smembers(f"{self.space}:lanes"))

    def leave(self, step: str, token: str) -> None:
        """Give a batch's token back, whether it has claimed or not."""
        self._lua.run("leave_batch", step=step, token=token)

    def pause(self, lane: str, until: float, reason: str, pauses: int) -> int:
        """Pause `lane` until `until` (epoch seconds); `pauses` as the claim said. Returns the pauses in a row."""
        return int(self._lua.run("pause", lane=lane, ends=until, reason=reason, seen=pauses))

    def resume(self, lane: str) -> None:
        """End the pause of `lane`. Pauses are counted for a minute: the next one within it is longer, and so on."""
        key = f"{self.space}:pause:{lane}"
        pipe = self.redis.pipeline(transaction=True)
        pipe.hdel(key, "until", "reason", "since", "scanned", "next_scan")
        pipe.expire(key, REMEMBERED)
        pipe.execute()

    def is_full(self, high: HighWater, queue: str) -> bool:
        """Whether a results queue is above its high-water mark."""
        key = high.queues + queue
        return self.redis.xlen(key) >= high.entries or int(self.redis.memory_usage(key) or 0) >= high.bytes

    def get(self, row_id: str) -> Row | None:
        """The record with its blobs, or None."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.hgetall(f"{self.space}:record:{row_id}")
        for blob in self._blobs:
            pipe.get(f"{self.space}:{blob}:{row_id}")
        fields, *values = pipe.execute()
        if not fields:
            return None
        return Row(row_id, fields, {name: value or "" for name, value in zip(self._blobs, values, strict=True)})

    def books(self) -> Books:
        """Counters and lanes at one moment."""
        now, counts, *lanes = self._lua.run("books")
        numbers = {name: int(count) for name, count in _pairs(counts).items()}
        return Books(float(now), numbers, [_lane(*lane) for lane in lanes])

    def now(self) -> float:
        """The ledger's time, epoch seconds."""
        return self._lua.now()


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _lane(name: str, open_: int, due: int, oldest: str, until: str, reason: str) -> Lane:
    return Lane(name, open_, due, _time(oldest), _time(until), reason or None)


def _time(text: str) -> float | None:
    return float(text) if text else None
