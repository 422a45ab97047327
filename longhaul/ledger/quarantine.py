"""Records that make their step raise: tried again with a pause, then set aside until somebody decides. They never block
their batch.

What is set aside is in a lane of its own, `aside:<account>`, which nobody works off: it is still open, and the books
still balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from longhaul.ledger.due import Due

PREFIX = "aside:"
TRIES = 3
PAUSE = 30.0
"""Seconds before the second try; twice as many before the third."""
LONGEST = 200
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Crash:
    """One record that made its step raise. `fence`: as the claim saw it. `words` say where, and never with what: a
    record may hold secrets.

    `counted`: the field that the claim has counted up, where nothing has come of it.
    """

    id: str
    fence: int | str
    words: str
    counted: str = ""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that is set aside: since when (epoch seconds), from which lane, and why."""

    id: str
    since: float
    origin: str
    words: str


def describe_crash(doing: str, error: BaseException) -> str:
    """What went wrong while `doing`: the error's class and place, but not its text, which may quote what it choked on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{doing}: {type(error).__name__}{place}"


class Quarantine:
    """What is set aside in the space of `due`."""

    def __init__(self, due: Due) -> None:
        self._due = due

    def count_crashes(self, lane: str, cancelled_lane: str, crashes: Sequence[Crash]) -> list[Crash]:
        """Count these of `lane`; returns those that are set aside now. What somebody else has meanwhile moved on stays
        as it is.
        """
        aside = PREFIX + lane.partition(":")[2]
        rules = (lane, aside, cancelled_lane, PAUSE, TRIES)
        calls = [
            self._due.calling("stumble", _written(one.id), one.fence, *rules, one.words[:LONGEST], one.counted)
            for one in crashes
        ]
        return [one for one, became in zip(crashes, self._due.run(calls), strict=True) if became == "aside"]

    def retry(self, ids: Sequence[str]) -> list[str]:
        """Put records back, due now: says of each the lane that it is in, or `missing`, or `not set aside`."""
        became: list[str] = []
        for at in range(0, len(ids), CHUNK):
            became += self._due.run([self._due.calling("retry", PREFIX, *map(_written, ids[at : at + CHUNK]))])[0]
        return became

    def ids(self) -> list[str]:
        """All that is set aside."""
        pipe = self._due.redis.pipeline(transaction=False)
        for lane in self._lanes():
            pipe.zrange(f"{self._due.space}:due:{lane}", 0, -1)
        return [str(id_) for lane in pipe.execute() for id_ in lane]

    def count(self) -> int:
        """How many records are set aside."""
        pipe = self._due.redis.pipeline(transaction=False)
        for lane in self._lanes():
            pipe.zcard(f"{self._due.space}:due:{lane}")
        return sum(pipe.execute())

    def first(self, most: int) -> list[Quarantined]:
        """Up to `most` of them, those that have waited longest first."""
        pipe = self._due.redis.pipeline(transaction=False)
        for lane in self._lanes():
            pipe.zrange(f"{self._due.space}:due:{lane}", 0, most - 1, withscores=True)
        waiting = sorted((float(since), str(id_)) for lane in pipe.execute() for id_, since in lane)[:most]
        for _, id_ in waiting:
            pipe.hmget(_written(f"{self._due.space}:record:{id_}"), "origin", "stumble")
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
