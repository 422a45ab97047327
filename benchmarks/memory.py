"""What waiting costs: bytes of Redis for each job, and whether a worker's memory grows with their number."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import psutil

from benchmarks.figure import Figure
from benchmarks.rig import Rig, prepare

FEW = 1_000
URL_LENGTH = 100
CEILING = 4.0
"""Seconds between two looks at a job, at most: so few that both workers are busy with 100,000 waiting jobs, and not
idle with 1,000.
"""


def measure(rig: Rig, *, jobs: int, watch: float) -> Iterator[Figure]:
    endless = f"{rig.remote}/running"
    pauses = {"poll_first": 1.0, "poll_ceiling": CEILING}
    with (
        rig.runtime(async_url=endless, **pauses) as runtime,
        rig.longhaul(async_url=endless, **{name: str(value) for name, value in pauses.items()}) as workers,
    ):
        prepare(runtime, FEW, URL_LENGTH)
        few = resident(rig, workers, watch)
        before = _memory(rig)
        prepare(runtime, jobs - FEW, URL_LENGTH)
        after = _memory(rig)
        many = resident(rig, workers, watch)
    for name in ("used_memory", "used_memory_dataset"):
        size = (after[name] - before[name]) / (jobs - FEW)
        yield Figure(
            f"Redis for each waiting job ({name})",
            size,
            "B",
            at_most=1024,
            note=f"{jobs:,} jobs, URL of {URL_LENGTH} bytes",
        )
    yield Figure(f"worker RSS at {FEW:,} waiting jobs", few / 2**20, "MB", note="the larger of the two workers")
    yield Figure(f"worker RSS at {jobs:,} waiting jobs", many / 2**20, "MB", note="the most seen")
    yield Figure("growth", (many - few) / 2**20, "MB", at_most=20)


def resident(rig: Rig, workers: Sequence[psutil.Process], watch: float) -> int:
    """The most memory that one of the workers holds in the next `watch` seconds, in bytes."""
    most = 0
    end = time.monotonic() + watch

    def over() -> bool:
        nonlocal most
        most = max(most, *(worker.memory_info().rss for worker in workers))
        return time.monotonic() > end

    rig.tick_until(over)
    return most


def _memory(rig: Rig) -> dict[str, int]:
    return rig.redis.info("memory")
