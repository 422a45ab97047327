"""The poll path alone: jobs that are running and due at the start, two workers; each poll finds a finished job."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figure import Figure
from benchmarks.rig import Rig, cpu, finished, last_envelope, prepare

WARM_UP = 2_000


def measure(rig: Rig, *, jobs: int) -> Iterator[Figure]:
    with rig.runtime(poll_first=0.001) as runtime, rig.longhaul() as workers:
        prepare(runtime, WARM_UP)
        rig.tick_until(lambda: finished(runtime) == WARM_UP)
        prepare(runtime, jobs)
        before, start = cpu(workers), rig.now()
        rig.tick_until(lambda: finished(runtime) == WARM_UP + jobs)
        used, last = cpu(workers) - before, last_envelope(rig.redis)
    yield Figure(
        "polls", jobs / (last - start), "polls/s", at_least=4000, note=f"{jobs:,} jobs, due at the start, all finished"
    )
    yield Figure("worker CPU per poll", used / jobs * 1e6, "µs", at_most=250, note="both workers together")
