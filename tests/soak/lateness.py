"""Whether polls arrive when they are due, and in the order of their due times. Pure; times in epoch seconds.

The due index of the ledger has the time of each job's next poll; the remote's request log has the time when it arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.soak.request_log import Request


@dataclass
class Lateness:
    """`expected`: due times by job. `seconds`: how late each poll was, sorted once closed. `absent`: polls that did not
    come.
    """

    expected: dict[int, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    absent: int = 0

    def expect(self, due_times: Mapping[int, float]) -> None:
        """Expect a poll of each job at its due time, which must be in the future."""
        for number, due in due_times.items():
            self.expected.setdefault(number, due)

    def add(self, new: Iterable[Request]) -> None:
        """Add the requests that arrived. One before the due time belongs to the poll before."""
        for request in new:
            due = self.expected.get(request.number)
            if due is not None and request.at >= due:
                self.seconds.append(request.at - due)
                del self.expected[request.number]

    def close(self, now: float) -> None:
        """Count what has not arrived as absent, and as late as it is by `now`."""
        self.absent += len(self.expected)
        self.seconds = sorted(self.seconds + [now - due for due in self.expected.values()])
        self.expected.clear()

    def quantile(self, share: float) -> float:
        """The quantile `share` of the lateness, in seconds; 0 where there were no polls."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))] if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """How well the order of arrivals follows the order of due times. `correlation`: Spearman's; 1 is perfect.
    `displaced`: share of the polls that came more than `slack` places too early or too late. `worst`: most places.
    `missing`: polls that did not come.
    """

    count: int
    correlation: float
    displaced: float
    worst: int
    missing: int


def order(due_times: Mapping[int, float], arrived: Sequence[int], slack: int) -> Order:
    """Compare the orders. Of `arrived` only jobs in `due_times` count, each at its first arrival."""
    came = [number for number in dict.fromkeys(arrived) if number in due_times]
    places = {number: place for place, number in enumerate(sorted(came, key=due_times.__getitem__))}
    off = [abs(place - places[number]) for place, number in enumerate(came)]
    count = len(came)
    correlation = 1 - 6 * sum(gap * gap for gap in off) / (count * (count * count - 1)) if count > 1 else 1.0
    return Order(
        count, correlation, sum(gap > slack for gap in off) / max(count, 1), max(off, default=0), len(due_times) - count
    )
