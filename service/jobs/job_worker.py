"""What the Celery tasks of jobs do: a round of fetching, or a round of delivering webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.fetching.fetch import FetchLimits
from service.jobs.delivery_round import DELIVERIES_AT_ONCE, DeliveryRound
from service.jobs.fetch_round import FETCHES_AT_ONCE, FetchRound
from service.jobs.runs import FETCH, WEBHOOK, Runs
from service.round_worker import RoundWorker


@dataclass(frozen=True, kw_only=True)
class JobWorker(RoundWorker):
    """Works off the runs that are due. `public_url`: where clients reach the service; `lease_seconds`: how long a
    claimed run stays claimed.
    """

    runs: Runs
    limits: FetchLimits
    lease_seconds: float
    public_url: str

    def dispatch(self) -> Iterator[tuple[str, str]]:
        """Lane and token of each round to start now."""
        for lane, size in ((FETCH, FETCHES_AT_ONCE), (WEBHOOK, DELIVERIES_AT_ONCE)):
            yield from self.runs.due.dispatch(lane, [lane], size=size, most=self.max_rounds, lease=self.lease_seconds)

    def leave(self, lane: str, token: str) -> None:
        """Give the token of a round back."""
        self.runs.due.leave(lane, token)

    def fetch(self, token: str) -> None:
        """One round of fetching; `token` as `start` was given it."""
        work = FetchRound(self.runs, self.limits, self.lease_seconds, self.wake_safely, self.stopping)
        self.run_round(FETCH, token, work.run)

    def deliver(self, token: str) -> None:
        """One round of delivering webhooks; `token` as `start` was given it."""
        private = self.limits.private
        work = DeliveryRound(self.runs, self.public_url, private, self.lease_seconds, self.wake_safely, self.stopping)
        self.run_round(WEBHOOK, token, work.run)
