"""The real parts of a crawl on one clock, and the remote that they talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from redis import Redis

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.crawls.decider import CrawlDecider, CrawlDecision
from longhaul.crawls.pushes import CrawlPushes, EventReceipt
from longhaul.crawls.remote import CrawlRemote
from longhaul.crawls.store import CLAIMS_FOR_SECONDS, CrawlStore
from longhaul.ledger.due import StoredResult
from longhaul.scraperapi.client import call
from longhaul.scraperapi.crawl_models import CrawlRequest, NoEvent
from longhaul.scraperapi.crawl_protocol import read_event
from longhaul.work.balance import Balance, balance
from longhaul.work.batch import Applied
from longhaul.work.batch_runner import BatchRunner
from longhaul.work.retry_policies import Policies
from tests.builders import START, Clock, crawl_limits, default_policies, envelopes
from tests.flow.crawler import Crawler
from tests.wire import Wire, wire

LEASE = 120.0
GRACE = 600.0
WEEK = 7 * 24 * 3600.0
SITE = "https://example.com/"


@dataclass
class CrawlWorld:
    """`tracked`: what Flower and the log were told."""

    redis: Redis
    crawler: Crawler
    clock: Clock
    store: CrawlStore
    runner: BatchRunner
    pushes: CrawlPushes
    tracked: list[Applied]

    def order(self, *ids: str, **changes: Any) -> None:
        """Record crawls of one page each and its links."""
        request = {name: changes.pop(name) for name in list(changes) if name in CrawlRequest.__dataclass_fields__}
        for id_ in ids:
            site = CrawlRequest(**({"start_url": f"{SITE}{id_}/", "max_depth": 1} | request))
            self.store.order(id_, NewCrawl(site, "http://receiver.test", **changes))

    def create(self, *ids: str, **changes: Any) -> None:
        """Record crawls and have the remote take them; their first look is due when this returns."""
        self.order(*ids, **changes)
        self.run(CrawlStep.CREATE)
        self.clock.now += 10

    def run(self, *steps: CrawlStep) -> None:
        """One healthy round of each step."""
        for step in steps:
            self.runner.run(step, "default")

    def claim(self, step: CrawlStep) -> Crawl:
        """The one crawl that is due for `step`."""
        (crawl,) = self.store.claim(step, "default").items
        return crawl

    def apply(self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision) -> str:
        """What became of one decision."""
        (applied,) = self.store.apply(step, [(crawl, decision)], self.clock.now)
        return applied.written

    def push(self, id_: str, *events: dict[str, Any], pushes: CrawlPushes | None = None) -> list[EventReceipt]:
        """Push events to a crawl's address, as the receiver takes them."""
        pushes = pushes or self.pushes
        received = []
        for document in events:
            event = read_event(document)
            assert not isinstance(event, NoEvent), event.words
            crawl = pushes.store.get(id_)
            became = pushes.take(crawl, event) if crawl else EventReceipt.UNKNOWN
            if became is EventReceipt.FOREIGN:
                pushes.stop(event.remote_id)
            received.append(became)
        return received

    def deliver(self, pushes: CrawlPushes | None = None) -> None:
        """Have the remote push all that it has to tell, each to the crawl that ordered it."""
        for remote_id, event in self.crawler.undelivered():
            address = next(
                order["callback"]["url"]
                for at, order in enumerate(self.crawler.orders, 1)
                if f"remote-{at}" == remote_id
            )
            self.push(address.rpartition("/")[2], event, pushes=pushes)
            self.crawler.delivered(remote_id, event)

    def bring_home(self, most: int = 60) -> None:
        """Healthy rounds, events and passing time until every crawl has ended and the remote has no more to tell."""
        for _ in range(most):
            if self.books().open == 0 and not self.crawler.running:
                return
            self.run(*CrawlStep)
            self.deliver()
            self.clock.now += 30
        raise AssertionError(f"still open: {self.books().states}, still running: {list(self.crawler.running)}")

    def books(self) -> Balance:
        return balance(self.store.books())

    def envelopes(self) -> list[dict[str, Any]]:
        return envelopes(self.redis)

    def pages(self, id_: str) -> list[dict[str, Any]]:
        return [one for one in self.envelopes() if one["kind"] == "page" and one["crawlId"] == id_]

    def ends(self, id_: str) -> list[dict[str, Any]]:
        return [one for one in self.envelopes() if one["kind"] == "crawl" and one["crawlId"] == id_]

    def end(self, id_: str) -> dict[str, Any]:
        """The one envelope of a crawl that has ended; the books balance."""
        (envelope,) = self.ends(id_)
        assert self.books().faults == []
        return envelope


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
        limits = crawl_limits(lease=LEASE, grace=GRACE)
        store = CrawlStore(
            redis, limits, lambda id_, document: StoredResult(f"note-{id_}", document["status"], 60), clock
        )
        remote = CrawlRemote(
            crawler_wire.base, {"default": "key"}, partial(call, timeout=10), lambda receiver, id_: f"{receiver}/{id_}"
        )
        decider = CrawlDecider(policies or default_policies(deadline=WEEK), GRACE)
        runner = BatchRunner(store, remote, decider, tracked.extend, CLAIMS_FOR_SECONDS)
        pushes = CrawlPushes(store, remote, decider, tracked.extend)
        return CrawlWorld(redis, crawler, clock, store, runner, pushes, tracked)

    return make


@pytest.fixture
def crawls(fresh_crawls: Callable[..., CrawlWorld]) -> CrawlWorld:
    return fresh_crawls()
