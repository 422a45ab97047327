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
from longhaul.ledger.lua import Lua, ScriptCall, Transitions, Value
from longhaul.ledger.records import Books, Claim, Clock, Fields, HighWater, Lane, NewRecord, Row, StoredResult, Written
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
        own: Traversable | None = None,
        versions: Versions | None = None,
    ) -> None:
        self.redis = redis
        self.space = space
        self._lua = Lua(redis, space, transitions, own)
        self._blobs = tuple(blobs)
        self._clock = clock
        self._versions = versions or Versions()

    def create(self, records: Sequence[NewRecord]) -> list[bool]:
        """Write the records that are not there yet; says of each whether it was written now."""
        args: list[Value] = [self._now()]
        for new in records:
            fields = {FIELD: self._versions.present, **new.fields}
            args += [new.id, new.state, new.lane, len(fields), *_flat(fields), len(new.blobs), *_flat(new.blobs)]
        return [written == 1 for written in self._lua.run("create", *args)]

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
        """Take up to `limit` due records of `lane` for `lease` seconds, oldest first; counts the field `count` up in
        each.

        Of a paused lane only records older than `deadline` seconds are taken. Where `allowed` allows fewer than
        `limit`, there is no `more`. Records of an older version are brought up to date, those of a newer one are not
        taken.
        """
        blobs = self._blobs if blobs is None else blobs
        high = high_water or HighWater()
        now, pauses, more, probe, newer, *taken = self._lua.run(
            "claim",
            *(self._now(), lane, allowed.size_of(limit), lease, count, cancelled_lane, step, token, deadline),
            *(high.entries, high.bytes, high.queues, high.put_off, high.guaranteed, high.headroom),
            *(self._versions.present, *allowed.arguments(), *blobs),
        )
        say_newer(self.space, newer)
        rows = self._migrated(
            [Row(id_, _pairs(flat), dict(zip(blobs, texts, strict=True))) for id_, flat, *texts in taken]
        )
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
        when: Value = "" if due is None else f"{due:.3f}"
        sets = set_fields or {}
        return ScriptCall(
            "move",
            [self._now(), row_id, fence, state, lane, when, cancelled_lane, len(sets), *_flat(sets), *_flat(add or {})],
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
        note: StoredResult | None = None,
        next_lane: str = "",
        set_fields: Fields | None = None,
        only_if: tuple[str, Value] = ("", ""),
        outlive: Sequence[str] = (),
        forget: Sequence[str] = (),
    ) -> ScriptCall:
        """The call that ends a record: state, envelope into `stream`, note, and the index entry gone, all in one.

        `keep`: seconds for which the record stays; blobs in `outlive` stay as long, those in `forget` go. `only_if`: a
        field and the value that it must still have, 0 where it is absent; else `stale`.
        """
        noted: list[Value] = [note.key, note.value, note.ttl] if note else ["", "", 0]
        sets = set_fields or {}
        return ScriptCall(
            "finish",
            [
                *(self._now(), row_id, fence, state, keep, stream, envelope, *noted, next_lane, *only_if),
                *(len(sets), *_flat(sets), len(outlive), *outlive, *forget),
            ],
        )

    def calling(self, name: str, *args: Value) -> ScriptCall:
        """The call of one of the space's own scripts; its ARGV[1] is the time, as in all of them."""
        return ScriptCall(name, [self._now(), *args])

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
        """Likewise, but one that the server refuses keeps none of the others back; raises what will pass by itself."""
        answers = self._lua.run_each(calls) if calls else []
        for answer in answers:
            if isinstance(answer, AWAY):
                raise answer
        return answers

    def cancel(self, row_id: str, cancelled_lane: str, state: str = "") -> str:
        """Mark a record as cancelled: `marked`, `missing`, or the state that it had already ended in.

        `state`: what it is taken to be in where its own is none that the table knows.
        """
        return str(self._lua.run("cancel", self._now(), row_id, cancelled_lane, state))

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
        processes.

        `limits` of lanes that have some.
        """
        args: list[Value] = [self._now(), step, size, most, lease]
        for lane in lanes:
            limit = (limits or {}).get(lane, UNLIMITED)
            args += [lane, limit.size, *limit.arguments()]
        flat = self._lua.run("dispatch", *args)
        return list(pairwise(flat))[::2]

    def ticked(self) -> float | None:
        """When `dispatch` last ran, epoch seconds; None where it never has."""
        return _time(str(self.redis.get(f"{self.space}:ticked") or ""))

    def lanes(self) -> list[str]:
        """Every lane that ever held a record, by name."""
        return sorted(str(name) for name in self.redis.smembers(f"{self.space}:lanes"))

    def leave(self, step: str, token: str) -> None:
        """Give a batch's token back, whether it has claimed or not."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.zrem(f"{self.space}:started:{step}", token)
        pipe.zrem(f"{self.space}:working:{step}", token)
        pipe.execute()

    def pause(self, lane: str, until: float, reason: str, pauses: int) -> int:
        """Pause `lane` until `until` (epoch seconds); `pauses` as the claim said. Returns the pauses in a row."""
        return int(self._lua.run("hold", self._now(), lane, until, reason, pauses))

    def resume(self, lane: str) -> None:
        """End the pause of `lane`. Their count is remembered for a minute: the next one within it is longer, and so on."""
        key = f"{self.space}:pause:{lane}"
        pipe = self.redis.pipeline(transaction=True)
        pipe.hdel(key, "until", "reason", "since", "walked", "rests")
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
        fields, *texts = pipe.execute()
        if not fields:
            return None
        return Row(row_id, fields, {name: text or "" for name, text in zip(self._blobs, texts, strict=True)})

    def books(self) -> Books:
        """Counters and lanes at one moment."""
        now, counts, *lanes = self._lua.run("books", self._now())
        return Books(
            float(now),
            {name: int(count) for name, count in _pairs(counts).items()},
            [
                Lane(name, open_, due, _time(oldest), _time(until), reason or None)
                for name, open_, due, oldest, until, reason in lanes
            ],
        )

    def now(self) -> float:
        """The ledger's time, epoch seconds."""
        if self._clock is not None:
            return self._clock()
        seconds, micros = self.redis.time()
        return float(seconds) + float(micros) / 1e6

    def _migrated(self, rows: Sequence[Row]) -> list[Row]:
        present: list[Row] = []
        calls: list[ScriptCall] = []
        for row in rows:
            try:
                read = self._versions.read(row)
            except Exception:  # noqa: BLE001  (a record may hold anything: whoever reads it meets this again)
                read = row
            present.append(read)
            if read is not row:
                calls.append(ScriptCall("migrate", [self._now(), *_changes(row, read)]))
        self.run(calls)
        return present

    def _now(self) -> Value:
        return "" if self._clock is None else self._clock()


def _changes(row: Row, read: Row) -> list[Value]:
    """What `migrate.lua` is told to make `read` of `row`."""
    told: list[Value] = [row.id, row.fields.get("fence", "0")]
    for before, after in ((row.fields, read.fields), (row.blobs, read.blobs)):
        changed = {name: text for name, text in after.items() if before.get(name) != text}
        gone = [name for name in before if name not in after]
        told += [len(changed), *_flat(changed), *([len(gone), *gone] if before is row.fields else gone)]
    return told


def _flat(mapping: Mapping[str, Value]) -> list[Value]:
    return [part for pair in mapping.items() for part in pair]


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _time(text: str) -> float | None:
    return float(text) if text else None
