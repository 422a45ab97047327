"""What waiting jobs cost: bytes of Redis for each, and whether the workers' memory grows with their number."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import psutil

from benchmarks.figure import Figure
from benchmarks.rig import Rig, prepare

BASELINE = 1_000
URL_LENGTH = 100
MAX_PAUSE_SECONDS = 4.0
"""Between two polls of a job: short enough to keep both workers busy with 100,000 waiting jobs, and not idle with
1,000.
"""


def measure(rig: Rig, *, jobs: int, seconds: float) -> Iterator[Figure]:
    endless = f"{rig.remote}/running"
    pauses = {"poll_first": 1.0, "poll_ceiling": MAX_PAUSE_SECONDS}
    with (
        rig.runtime(async_url=endless, **pauses) as runtime,
        rig.longhaul(async_url=endless, **{name: str(value) for name, value in pauses.items()}) as workers,
    ):
        prepare(runtime, BASELINE, URL_LENGTH)
        few = resident(rig, workers, seconds)
        before = _memory(rig)
        prepare(runtime, jobs - BASELINE, URL_LENGTH)
        after = _memory(rig)
        many = resident(rig, workers, seconds)
    for name in ("used_memory", "used_memory_dataset"):
        size = (after[name] - before[name]) / (jobs - BASELINE)
        yield Figure(
            f"Redis for each waiting job ({name})",
            size,
            "B",
            at_most=1024,
            note=f"{jobs:,} jobs, URL of {URL_LENGTH} bytes",
        )
    yield Figure(f"worker RSS at {BASELINE:,} waiting jobs", few / 2**20, "MB", note="the larger of the two workers")
    yield Figure(f"worker RSS at {jobs:,} waiting jobs", many / 2**20, "MB", note="the largest seen")
    yield Figure("growth", (many - few) / 2**20, "MB", at_most=20)


def resident(rig: Rig, workers: Sequence[psutil.Process], seconds: float) -> int:
    """The largest resident memory of a worker in the next `seconds`, in bytes."""
    largest = 0
    end = time.monotonic() + seconds

    def over() -> bool:
        nonlocal largest
        largest = max(largest, *(worker.memory_info().rss for worker in workers))
        return time.monotonic() > end

    rig.tick_until(over)
    return largest


def _memory(rig: Rig) -> dict[str, int]:
    return rig.redis.info("memory")
