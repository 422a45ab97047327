"""Whether looks come when they are due, and in the order in which they are. Pure; times in epoch seconds.

What is due, the ledger says beforehand: the score of a job in the due index is the time of its next look. The remote
says when that came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.soak.diary import Heard


@dataclass
class Lateness:
    """Looks that are expected, and by how many seconds those that came were late; in order once it is closed."""

    expected: dict[int, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    absent: int = 0

    def expect(self, dues: Mapping[int, float]) -> None:
        """Await a look at each job at its time, which must be in the future."""
        for number, due in dues.items():
            self.expected.setdefault(number, due)

    def hear(self, news: Iterable[Heard]) -> None:
        """Note what has come; a request before the due time is another one."""
        for heard in news:
            due = self.expected.get(heard.number)
            if due is not None and heard.at >= due:
                self.seconds.append(heard.at - due)
                del self.expected[heard.number]

    def close(self, now: float) -> None:
        """Count what has not come as absent, as late as it is now: no more is noted."""
        self.absent += len(self.expected)
        self.seconds = sorted(self.seconds + [now - due for due in self.expected.values()])
        self.expected.clear()

    def at(self, share: float) -> float:
        """The lateness that this share of the looks does not exceed; 0 where there were none."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))] if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """How well the order of arrivals follows that of due times. `correlation`: Spearman's, 1 is perfect. `displaced`:
    share of the jobs that came more than `slack` places too early or too late; `worst`: most places. `missing`: jobs
    that did not come.
    """

    count: int
    correlation: float
    displaced: float
    worst: int
    missing: int


def order(dues: Mapping[int, float], arrived: Sequence[int], slack: int) -> Order:
    """Of `arrived` only what is in `dues` counts, each at its first time."""
    came = [number for number in dict.fromkeys(arrived) if number in dues]
    places = {number: place for place, number in enumerate(sorted(came, key=dues.__getitem__))}
    off = [abs(place - places[number]) for place, number in enumerate(came)]
    count = len(came)
    correlation = 1 - 6 * sum(gap * gap for gap in off) / (count * (count * count - 1)) if count > 1 else 1.0
    return Order(
        count, correlation, sum(gap > slack for gap in off) / max(count, 1), max(off, default=0), len(dues) - count
    )
