"""A new world of jobs or of crawls for each test: real ledger, real HTTP, a scripted remote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from redis import Redis

from longhaul.crawls.decider import CrawlDecider
from longhaul.crawls.remote import CrawlRemote
from longhaul.crawls.store import CLAIMS_FOR_SECONDS, CrawlStore
from longhaul.crawls.webhooks import CrawlWebhooks
from longhaul.jobs.decider import JobDecider
from longhaul.jobs.remote import JobRemote
from longhaul.jobs.webhooks import JobWebhooks
from longhaul.ledger.due import StoredResult
from longhaul.scraperapi.batch_client import BatchClient
from longhaul.scraperapi.client import call
from longhaul.work.batch import Applied
from longhaul.work.batch_runner import BatchRunner
from longhaul.work.retry_policies import Policies
from tests.builders import START, Clock, a_store, crawl_limits, default_policies
from tests.flow.crawl_world import GRACE, WEEK, CrawlWorld
from tests.flow.crawl_world import LEASE as CRAWL_LEASE
from tests.flow.crawler import Crawler
from tests.flow.job_world import LEASE as JOB_LEASE
from tests.flow.job_world import JobWorld
from tests.flow.scraper import Scraper
from tests.wire import Wire, wire


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

    def make(polls: int = 1, policies: Policies | None = None, **limits: Any) -> JobWorld:
        redis.flushall()
        scraper, clock, tracked = Scraper(polls), Clock(START), []
        remote_wire.answer = scraper
        store = a_store(redis, clock, **({"lease": JOB_LEASE} | limits))
        remote = JobRemote(remote_wire.base, {"default": "key"}, calls, lambda receiver, _: receiver)
        decider = JobDecider(policies or default_policies())
        return JobWorld(
            redis,
            remote_wire,
            calls,
            scraper,
            clock,
            store,
            tracked,
            BatchRunner(store, remote, decider, tracked.extend),
            JobWebhooks(store, decider, tracked.extend),
        )

    return make


@pytest.fixture
def world(fresh) -> JobWorld:
    return fresh()


@pytest.fixture(scope="session")
def crawler_wire() -> Iterator[Wire]:
    with wire(Crawler()) as server:
        yield server


@pytest.fixture
def fresh_crawls(redis: Redis, crawler_wire: Wire) -> Callable[..., CrawlWorld]:
    """Makes a new world, with an empty ledger; may be called again and again."""

    def make(pages: int = 3, policies: Policies | None = None) -> CrawlWorld:
        redis.flushall()
        crawler, clock = Crawler(pages), Clock(START)
        crawler_wire.answer = crawler
        tracked: list[Applied] = []
        limits = crawl_limits(lease=CRAWL_LEASE, grace=GRACE)
        store = CrawlStore(
            redis, limits, lambda id_, document: StoredResult(f"note-{id_}", document["status"], 60), clock
        )
        remote = CrawlRemote(
            crawler_wire.base, {"default": "key"}, partial(call, timeout=10), lambda receiver, id_: f"{receiver}/{id_}"
        )
        decider = CrawlDecider(policies or default_policies(deadline=WEEK), GRACE)
        runner = BatchRunner(store, remote, decider, tracked.extend, CLAIMS_FOR_SECONDS)
        webhooks = CrawlWebhooks(store, remote, decider, tracked.extend)
        return CrawlWorld(redis, crawler, clock, store, runner, webhooks, tracked)

    return make


@pytest.fixture
def crawls(fresh_crawls: Callable[..., CrawlWorld]) -> CrawlWorld:
    return fresh_crawls()
