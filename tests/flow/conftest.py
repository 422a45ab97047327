from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis

from longhaul.jobs.decider import JobDecider
from longhaul.jobs.job import JobStep
from longhaul.jobs.pushes import JobPushes
from longhaul.jobs.remote import JobRemote
from longhaul.jobs.store import JobStore
from longhaul.scraperapi.batch_client import BatchClient
from longhaul.work.balance import balance
from longhaul.work.batch import Applied
from longhaul.work.batch_runner import BatchRunner
from longhaul.work.retry_policies import Policies
from tests.builders import START, Clock, a_store, a_submission, default_policies, envelopes
from tests.flow.crawl_world import crawler_wire, crawls, fresh_crawls
from tests.flow.scraper import Scraper
from tests.wire import Wire, wire

__all__ = ["crawler_wire", "crawls", "fresh_crawls"]

LEASE = 120.0


@dataclass
class World:
    """The real parts on one clock, and the remote that they talk to."""

    redis: Redis
    wire: Wire
    calls: BatchClient
    scraper: Scraper
    clock: Clock
    store: JobStore
    tracked: list[Applied]
    runner: BatchRunner
    pushes: JobPushes

    def submit(self, *ids: str, **changes: Any) -> None:
        self.store.submit([(id_, a_submission(f"https://example.com/{id_}", **changes)) for id_ in ids], tracked=False)

    def run(self, *steps: JobStep) -> None:
        """One healthy batch of each step."""
        for step in steps:
            self.runner.run(step, "default")

    def send(self, *ids: str) -> None:
        """Submit jobs and have the remote take them; their first look is due when this returns."""
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


@pytest.fixture(scope="session")
def calls() -> Iterator[BatchClient]:
    client = BatchClient(timeout=20, batch_timeout=30, max_bytes=1024 * 1024)
    yield client
    client.close()


@pytest.fixture(scope="session")
def remote_wire() -> Iterator[Wire]:
    with wire(Scraper()) as server:
        yield server


@pytest.fixture
def fresh(redis: Redis, remote_wire: Wire, calls: BatchClient):
    """Makes a new world, with an empty ledger; may be called again and again."""

    def make(polls: int = 1, policies: Policies | None = None, **limits: Any) -> World:
        redis.flushall()
        scraper, clock, tracked = Scraper(polls), Clock(START), []
        remote_wire.answer = scraper
        store = a_store(redis, clock, **({"lease": LEASE} | limits))
        remote = JobRemote(remote_wire.base, {"default": "key"}, calls, lambda receiver, _: receiver)
        decider = JobDecider(policies or default_policies())
        return World(
            redis,
            remote_wire,
            calls,
            scraper,
            clock,
            store,
            tracked,
            BatchRunner(store, remote, decider, tracked.extend),
            JobPushes(store, decider, tracked.extend),
        )

    return make


@pytest.fixture
def world(fresh) -> World:
    return fresh()
