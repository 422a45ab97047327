"""The real parts of a job on one clock, and the remote that they talk to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis

from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobStore
from longhaul.jobs.webhooks import JobWebhooks
from longhaul.scraperapi.batch_client import BatchClient
from longhaul.work.balance import balance
from longhaul.work.batch import Applied
from longhaul.work.batch_runner import BatchRunner
from tests.builders import Clock, a_submission, envelopes
from tests.flow.scraper import Scraper
from tests.wire import Wire

LEASE = 120.0


@dataclass
class JobWorld:
    """The real parts on one clock, and the remote that they talk to."""

    redis: Redis
    wire: Wire
    calls: BatchClient
    scraper: Scraper
    clock: Clock
    store: JobStore
    tracked: list[Applied]
    runner: BatchRunner
    webhooks: JobWebhooks

    def submit(self, *ids: str, **changes: Any) -> None:
        self.store.submit([(id_, a_submission(f"https://example.com/{id_}", **changes)) for id_ in ids], tracked=False)

    def run(self, *steps: JobStep) -> None:
        """One healthy batch of each step."""
        for step in steps:
            self.runner.run(step, "default")

    def send(self, *ids: str) -> None:
        """Submit jobs and have the remote take them; their first poll is due when this returns."""
        self.submit(*ids)
        self.run(JobStep.SEND)
        # More than the first pause, for a batch carries the ledger's time on by the real time that it takes.
        self.clock.now += 10

    def bring_home(self, most: int = 60) -> None:
        """Healthy batches and passing time until every job has ended."""
        for _ in range(most):
            if balance(self.store.books()).open == 0:
                return
            self.run(*JobStep)
            self.clock.now += 30
        raise AssertionError(f"still open: {balance(self.store.books()).states}")

    def results(self) -> dict[str, dict[str, Any]]:
        """The one envelope of each job; the books balance and nothing is left open."""
        found = envelopes(self.redis)
        books = balance(self.store.books())
        assert (books.faults, books.open) == ([], 0)
        by_id = {envelope["id"]: envelope for envelope in found}
        assert len(by_id) == len(found) == books.submitted
        return by_id
