"""What the remote wrote down, read while it is written, and counted second by second."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.soak.patient import RECORD, Answer

LOOKS = (Answer.RUNNING, Answer.OUTAGE, Answer.THROTTLED, Answer.FINISHED)


class Heard(NamedTuple):
    """One request: the job's number, what it was answered, and when (epoch seconds)."""

    number: int
    answer: int
    at: float


@dataclass
class Diary:
    """`seconds`: requests by answer and second. `submitted`: how often each job was submitted."""

    path: Path
    seconds: dict[int, Counter[int]] = field(default_factory=lambda: {answer: Counter() for answer in Answer})
    submitted: Counter[int] = field(default_factory=Counter)
    _offset: int = 0

    def news(self) -> list[Heard]:
        """What has come since the last time."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        data = data[: len(data) // RECORD.size * RECORD.size]
        self._offset += len(data)
        news = [Heard(*record) for record in RECORD.iter_unpack(data)]
        for heard in news:
            self.seconds[heard.answer][int(heard.at)] += 1
            if heard.answer == Answer.SUBMITTED:
                self.submitted[heard.number] += 1
        return news

    def requests(self, began: float, ended: float) -> list[int]:
        """Requests in each whole second from `began` to `ended`, of every sort."""
        return [sum(counts[second] for counts in self.seconds.values()) for second in range(int(began) + 1, int(ended))]

    def answered(self, answer: Answer, began: float, ended: float) -> int:
        """How many requests got this answer."""
        return sum(count for second, count in self.seconds[answer].items() if began <= second < ended)

    def first(self, answer: Answer, since: float) -> int | None:
        """The first whole second after `since` in which a request got this answer."""
        return min((second for second in self.seconds[answer] if second > since), default=None)


def mean(counts: list[int]) -> float:
    """Requests a second."""
    return sum(counts) / len(counts) if counts else 0.0


def most_within(counts: list[int], seconds: int) -> int:
    """The most requests in so many seconds on end."""
    return max((sum(counts[at : at + seconds]) for at in range(max(1, len(counts) - seconds + 1))), default=0)
