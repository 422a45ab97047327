"""The size of a soak, and what follows from it: phases, pauses between polls, limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MAX_RATE = 800
"""Polls per second; two cores can do three to five thousand."""
MIN_QUIET_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class SoakSize:
    """`seconds`: for how long the jobs wait. `rate`: polls per second of all jobs together. All times in seconds."""

    jobs: int
    seconds: float
    rate: int

    @property
    def pause(self) -> float:
        """Between two polls of a job."""
        return self.jobs / self.rate

    @property
    def per_second(self) -> int:
        """The account's rate limit: half of it stays free in the quiet phases."""
        return 2 * self.rate

    @property
    def batch(self) -> int:
        """Polls of one batch; in a small soak few, so that there are many batches."""
        return min(200, max(10, self.jobs // 100))

    @property
    def in_flight(self) -> int:
        """Polls that two workers can have in flight: each has eight threads, of which six send batches."""
        return 2 * 6 * self.batch

    @property
    def warm_up(self) -> float:
        """By its end each job has been polled once."""
        return max(0.1 * self.seconds, 1.6 * self.pause)

    @property
    def outage(self) -> float:
        """The whole outage: half of it 503, half 429."""
        return self.seconds / 3

    @property
    def quiet(self) -> float:
        """All quiet phases together; about two pauses are spent on catching up."""
        return max(self.seconds - self.warm_up - self.outage - 2 * self.pause, MIN_QUIET_SECONDS)

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the workers. A jitter of 0.5 spreads the polls again after a burst of them."""
        return {
            "LONGHAUL_POLL_FIRST": f"{self.pause}",
            "LONGHAUL_POLL_CEILING": f"{self.pause}",
            "LONGHAUL_POLL_JITTER": "0.5",
            "LONGHAUL_BATCH_SIZE": f"{self.batch}",
            "LONGHAUL_ACCOUNT_LIMITS": f'{{"default": {{"per_second": {self.per_second}}}}}',
        }


def soak_size(jobs: int, minutes: float) -> SoakSize:
    """The size of a soak of `jobs` jobs that wait for `minutes` minutes."""
    return SoakSize(jobs, minutes * 60, max(1, min(MAX_RATE, jobs // 10)))
