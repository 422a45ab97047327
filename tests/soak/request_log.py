"""Read the remote's request log while it is written, and count requests second by second."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.soak.stub_remote import RECORD, Answer

POLLS = (Answer.RUNNING, Answer.OUTAGE, Answer.THROTTLED, Answer.FINISHED)


class Request(NamedTuple):
    """One request: the number of its job, its answer, its time (epoch seconds)."""

    number: int
    answer: int
    at: float


@dataclass
class RequestLog:
    """`seconds`: requests by answer and second. `submitted`: submissions by the number of the job."""

    path: Path
    seconds: dict[int, Counter[int]] = field(default_factory=lambda: {answer: Counter() for answer in Answer})
    submitted: Counter[int] = field(default_factory=Counter)
    _offset: int = 0

    def read_new(self) -> list[Request]:
        """The requests since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        data = data[: len(data) // RECORD.size * RECORD.size]
        self._offset += len(data)
        new = [Request(*record) for record in RECORD.iter_unpack(data)]
        for request in new:
            self.seconds[request.answer][int(request.at)] += 1
            if request.answer == Answer.SUBMITTED:
                self.submitted[request.number] += 1
        return new

    def per_second(self, began: float, ended: float) -> list[int]:
        """Requests of all kinds in each whole second from `began` to `ended`."""
        return [sum(counts[second] for counts in self.seconds.values()) for second in range(int(began) + 1, int(ended))]

    def answered(self, answer: Answer, began: float, ended: float) -> int:
        """How many requests got this answer from `began` to `ended`."""
        return sum(count for second, count in self.seconds[answer].items() if began <= second < ended)

    def first(self, answer: Answer, since: float) -> int | None:
        """The first whole second after `since` in which a request got this answer."""
        return min((second for second in self.seconds[answer] if second > since), default=None)


def mean(counts: list[int]) -> float:
    """Requests per second."""
    return sum(counts) / len(counts) if counts else 0.0


def max_within(counts: list[int], seconds: int) -> int:
    """The most requests in any `seconds` consecutive seconds."""
    return max((sum(counts[at : at + seconds]) for at in range(max(1, len(counts) - seconds + 1))), default=0)
