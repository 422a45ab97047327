"""What happens each second of a soak: read the remote's log, note which polls are due, measure memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from longhaul.jobs.store import SPACE
from tests.soak.cluster import SoakCluster, clock
from tests.soak.lateness import Lateness
from tests.soak.memory import MemorySamples
from tests.soak.request_log import POLLS, Request, RequestLog, mean

DUE = f"{SPACE}:due:poll:default"
TICK_SECONDS = 1.0
MEASURE_SECONDS = 2.0
REPORT_SECONDS = 60.0


class SoakStalled(Exception):
    """The soak can't go on; the message says why."""


@dataclass
class Monitor:
    """Watches a cluster; `phase` is the name of the present phase. `lateness` gets all requests and, while `expecting`,
    the polls that are due next. `arrivals` collects polls where it is a list.
    """

    cluster: SoakCluster
    write: Callable[[str], object]
    phase: str = ""
    number: Callable[[str], int] = int
    memory: MemorySamples = field(default_factory=MemorySamples)
    lateness: Lateness | None = None
    expecting: bool = False
    arrivals: list[Request] | None = None
    _measured: float = 0.0
    _reported: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.requests = RequestLog(self.cluster.request_log)
        self._processes = self.cluster.processes()

    def during(self, seconds: float) -> None:
        """Watch for so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._tick(min(left, TICK_SECONDS))

    def until(self, done: Callable[[], bool], what: str, within: float) -> None:
        """Watch until `done()`; raises `SoakStalled` after `within` seconds."""
        end = time.monotonic() + within
        while not done():
            if time.monotonic() > end:
                raise SoakStalled(f"not within {within:g} s: {what}")
            self._tick(TICK_SECONDS)

    def due_times(self, after: float | str, until: float) -> dict[int, float]:
        """The due times between `after` and `until`, epoch seconds, by the number of the job."""
        found = self.cluster.redis.zrangebyscore(DUE, after, until, withscores=True)
        return {self.number(id_): due for id_, due in found}

    def _tick(self, seconds: float) -> None:
        began = time.monotonic()
        if ended := self.cluster.ended():
            raise SoakStalled("; ".join(ended))
        self.cluster.flush_request_log()
        new = self.requests.read_new()
        if self.lateness is not None:
            self.lateness.add(new)
        if self.lateness is not None and self.expecting:
            now = clock()
            self.lateness.expect(self.due_times(f"({now}", now + TICK_SECONDS))
        if self.arrivals is not None:
            self.arrivals += [request for request in new if request.answer in POLLS]
        if began > self._measured + MEASURE_SECONDS:
            self._measured = began
            self.memory.sample(self.cluster.processes(), clock())
        if began > self._reported + REPORT_SECONDS:
            self._reported = began
            rate = mean(self.requests.per_second(clock() - 10, clock()))
            self.write(
                f"{time.strftime('%H:%M:%S')}  {self.phase}: {rate:.0f} requests a second,"
                f" {self.cluster.redis.zcard(DUE):,} jobs wait\n"
            )
        time.sleep(max(0.0, began + seconds - time.monotonic()))


def number_of(batch: int) -> Callable[[str], int]:
    """A function from a job's id, `soak-<batch>.<place>`, to its number; `batch`: jobs of a batch."""

    def number(job_id: str) -> int:
        at, _, place = job_id.removeprefix("soak-").partition(".")
        return int(at) * batch + int(place)

    return number
