"""Samples of the memory of processes, and their trends."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil


@dataclass
class MemorySamples:
    """`samples`: (seconds, resident bytes) by the name of the process."""

    samples: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def sample(self, processes: Mapping[str, int], now: float) -> None:
        """Measure processes with their children. `processes`: pids by name."""
        for name, pid in processes.items():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                family = [process, *(() if name == "redis" else process.children(recursive=True))]
                self.samples.setdefault(name, []).append((now, sum(member.memory_info().rss for member in family)))

    def between(self, name: str, began: float, ended: float) -> list[tuple[float, int]]:
        """The samples of a process from `began` to `ended`."""
        return [sample for sample in self.samples.get(name, []) if began <= sample[0] <= ended]


@dataclass(frozen=True, slots=True)
class Trend:
    """The memory of a process over a time: bytes, and slopes in bytes per second by least squares. `late_slope`: of the
    second half only, after any warm-up. `seconds`: between the first and the last sample.
    """

    name: str
    samples: int
    first: int
    last: int
    most: int
    slope: float
    late_slope: float
    seconds: float

    @property
    def growth(self) -> float:
        """Bytes by which it grew, according to the slope."""
        return self.slope * self.seconds


def trend(name: str, samples: list[tuple[float, int]]) -> Trend:
    """The trend of at least two samples."""
    sizes = [size for _, size in samples]
    return Trend(
        name,
        len(samples),
        sizes[0],
        sizes[-1],
        max(sizes),
        slope(samples),
        slope(samples[len(samples) // 2 :]),
        samples[-1][0] - samples[0][0],
    )


def slope(samples: list[tuple[float, int]]) -> float:
    """The slope of the line that fits the (x, y) best."""
    count = len(samples)
    middle_x = sum(x for x, _ in samples) / count
    middle_y = sum(y for _, y in samples) / count
    spread = sum((x - middle_x) ** 2 for x, _ in samples)
    return sum((x - middle_x) * (y - middle_y) for x, y in samples) / spread if spread else 0.0
