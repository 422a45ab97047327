"""What is done each second while the soak runs: read what the remote heard, say what looks to expect, measure memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from longhaul.jobs.store import SPACE
from tests.soak.diary import LOOKS, Diary, Heard, mean
from tests.soak.gauges import Gauges
from tests.soak.punctuality import Lateness
from tests.soak.stage import Stage, clock

DUE = f"{SPACE}:due:poll:default"
EVERY = 1.0
MEASURES_EVERY = 2.0
SAYS_EVERY = 60.0


class Stuck(Exception):
    """The soak can't go on; says why."""


@dataclass
class Watch:
    """`lateness` notes what comes in the present phase, and while `expecting` what is due next; `arrivals`, where it is
    a list, the looks.
    """

    stage: Stage
    say: Callable[[str], object]
    phase: str = ""
    number: Callable[[str], int] = int
    gauges: Gauges = field(default_factory=Gauges)
    lateness: Lateness | None = None
    expecting: bool = False
    arrivals: list[Heard] | None = None
    _measured: float = 0.0
    _said: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.diary = Diary(self.stage.diary)
        self._processes = self.stage.processes()

    def during(self, seconds: float) -> None:
        """Watch for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._pulse(min(left, EVERY))

    def until(self, done: Callable[[], bool], what: str, within: float) -> None:
        """Watch until it is so; raises `Stuck`."""
        end = time.monotonic() + within
        while not done():
            if time.monotonic() > end:
                raise Stuck(f"not within {within:g} s: {what}")
            self._pulse(EVERY)

    def dues(self, after: float | str, until: float) -> dict[int, float]:
        """When each look is due that is due in this time, by the number of its job."""
        found = self.stage.redis.zrangebyscore(DUE, after, until, withscores=True)
        return {self.number(id_): due for id_, due in found}

    def _pulse(self, seconds: float) -> None:
        began = time.monotonic()
        if ended := self.stage.ended():
            raise Stuck("; ".join(ended))
        self.stage.tell("sync")
        news = self.diary.news()
        if self.lateness is not None:
            self.lateness.hear(news)
        if self.lateness is not None and self.expecting:
            now = clock()
            self.lateness.expect(self.dues(f"({now}", now + EVERY))
        if self.arrivals is not None:
            self.arrivals += [heard for heard in news if heard.answer in LOOKS]
        if began > self._measured + MEASURES_EVERY:
            self._measured = began
            self.gauges.sample(self.stage.processes(), clock())
        if began > self._said + SAYS_EVERY:
            self._said = began
            rate = mean(self.diary.requests(clock() - 10, clock()))
            self.say(
                f"{time.strftime('%H:%M:%S')}  {self.phase}: {rate:.0f} requests a second, {self.stage.redis.zcard(DUE):,} jobs wait\n"
            )
        time.sleep(max(0.0, began + seconds - time.monotonic()))


def number_of(batch: int) -> Callable[[str], int]:
    """What makes a job's number of its id, `soak-<batch>.<place>`."""

    def number(job_id: str) -> int:
        at, _, place = job_id.removeprefix("soak-").partition(".")
        return int(at) * batch + int(place)

    return number
