"""Records whose step crashes: tried again after a pause, then put in quarantine until a person decides. They never
block their batch.

The quarantine of an account is a lane, `quarantine:<account>`, which no worker claims: its records are still open, and
the books still balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from longhaul.ledger.due import Due

PREFIX = "quarantine:"
TRIES = 3
PAUSE = 30.0
"""Seconds before the second try; twice as many before the third."""
LONGEST = 200
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Crash:
    """One record whose step has crashed. `fence`: as the claim saw it. `words` say where, and never with what: a record
    may hold secrets.

    `counted`: the field that the claim has counted up, where nothing has come of it.
    """

    id: str
    fence: int | str
    words: str
    counted: str = ""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record in quarantine: since when (epoch seconds), from which lane, and why."""

    id: str
    since: float
    origin: str
    words: str


def describe_crash(doing: str, error: BaseException) -> str:
    """What went wrong while `doing`: the error's class and place, but not its text, which may quote a secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{doing}: {type(error).__name__}{place}"


class Quarantine:
    """The records in quarantine in the space of `due`."""

    def __init__(self, due: Due) -> None:
        self._due = due

    def count_crashes(self, lane: str, cancelled_lane: str, crashes: Sequence[Crash]) -> list[Crash]:
        """Count crashes of records of `lane`; returns those that are in quarantine now. A record that another worker
        has moved on meanwhile stays as it is.
        """
        calls = [
            self._due.calling(
                "count_crash",
                id=_written(one.id),
                fence=one.fence,
                lane=lane,
                quarantine_lane=PREFIX + lane.partition(":")[2],
                cancelled_lane=cancelled_lane,
                pause=PAUSE,
                tries=TRIES,
                words=one.words[:LONGEST],
                counted=one.counted,
            )
            for one in crashes
        ]
        return [one for one, became in zip(crashes, self._due.run(calls), strict=True) if became == "quarantined"]

    def retry(self, ids: Sequence[str]) -> list[str]:
        """Put records back, due now; says of each the lane that it is in, or `missing`, or `not in quarantine`."""
        became: list[str] = []
        for at in range(0, len(ids), CHUNK):
            chunk = [_written(id_) for id_ in ids[at : at + CHUNK]]
            became += self._due.run([self._due.calling("retry", prefix=PREFIX, ids=chunk)])[0]
        return became

    def ids(self) -> list[str]:
        """The ids of all records in quarantine."""
        pipe = self._due.redis.pipeline(transaction=False)
        for lane in self._lanes():
            pipe.zrange(f"{self._due.space}:due:{lane}", 0, -1)
        return [str(id_) for lane in pipe.execute() for id_ in lane]

    def count(self) -> int:
        """How many records are in quarantine."""
        pipe = self._due.redis.pipeline(transaction=False)
        for lane in self._lanes():
            pipe.zcard(f"{self._due.space}:due:{lane}")
        return sum(pipe.execute())

    def first(self, most: int) -> list[Quarantined]:
        """Up to `most` records in quarantine, those that have waited longest first."""
        pipe = self._due.redis.pipeline(transaction=False)
        for lane in self._lanes():
            pipe.zrange(f"{self._due.space}:due:{lane}", 0, most - 1, withscores=True)
        waiting = sorted((float(since), str(id_)) for lane in pipe.execute() for id_, since in lane)[:most]
        for _, id_ in waiting:
            pipe.hmget(_written(f"{self._due.space}:record:{id_}"), "origin", "crash")
        fields = pipe.execute()
        return [
            Quarantined(id_, since, origin or "", words or "")
            for (since, id_), (origin, words) in zip(waiting, fields, strict=True)
        ]

    def _lanes(self) -> list[str]:
        return [lane for lane in self._due.lanes() if lane.startswith(PREFIX)]


def _written(text: str) -> bytes:
    # What is no UTF-8 in the ledger is read as lone surrogates; its bytes are what it is known by.
    return text.encode(errors="surrogateescape")
