"""How much of a soak it is to be, and what follows from that: phases, pauses between looks, limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MOST_RATE = 800
"""Looks a second, of the three to five thousand that two cores can do."""
SHORTEST = 20.0
"""Seconds of quiet, at least."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it. `rate`: looks a second that the waiting jobs make; what it takes follows from these. Times in
    seconds.
    """

    jobs: int
    seconds: float
    rate: int

    @property
    def pause(self) -> float:
        """Between two looks at a job."""
        return self.jobs / self.rate

    @property
    def per_second(self) -> int:
        """The account's limit: half of it stays free while nothing is wrong."""
        return 2 * self.rate

    @property
    def batch(self) -> int:
        """Looks of one batch: in a small soak so few that there are many batches."""
        return min(200, max(10, self.jobs // 100))

    @property
    def under_way(self) -> int:
        """Looks that two workers of eight threads can have under way, two of each being free for other things."""
        return 2 * 6 * self.batch

    @property
    def warm_up(self) -> float:
        """Each job has been looked at once by then."""
        return max(0.1 * self.seconds, 1.6 * self.pause)

    @property
    def outage(self) -> float:
        """All of it: half 503, half 429."""
        return self.seconds / 3

    @property
    def quiet(self) -> float:
        """Times in which nothing is wrong, all together; about two pauses go for catching up."""
        return max(self.seconds - self.warm_up - self.outage - 2 * self.pause, SHORTEST)

    @property
    def settings(self) -> dict[str, str]:
        """Of the workers. A jitter of a half makes an even stream of what was caught up with in a rush."""
        return {
            "LONGHAUL_POLL_FIRST": f"{self.pause}",
            "LONGHAUL_POLL_CEILING": f"{self.pause}",
            "LONGHAUL_POLL_JITTER": "0.5",
            "LONGHAUL_BATCH_SIZE": f"{self.batch}",
            "LONGHAUL_ACCOUNT_LIMITS": f'{{"default": {{"per_second": {self.per_second}}}}}',
        }


def sized(jobs: int, minutes: float) -> Size:
    """A soak of so many jobs; they wait for so many minutes."""
    return Size(jobs, minutes * 60, max(1, min(MOST_RATE, jobs // 10)))
