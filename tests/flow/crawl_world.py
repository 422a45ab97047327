"""The real parts of a crawl on one clock, and the remote that they talk to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.crawls.decider import CrawlDecision
from longhaul.crawls.store import CrawlStore
from longhaul.crawls.webhooks import CrawlWebhooks, EventReceipt
from longhaul.scraperapi.crawl_models import CrawlRequest, NoEvent
from longhaul.scraperapi.crawl_protocol import read_event
from longhaul.work.balance import Balance, balance
from longhaul.work.batch import Applied
from longhaul.work.batch_runner import BatchRunner
from tests.builders import Clock, envelopes
from tests.flow.crawler import Crawler

LEASE = 120.0
GRACE = 600.0
WEEK = 7 * 24 * 3600.0
SITE = "https://example.com/"


@dataclass
class CrawlWorld:
    """`tracked`: what Flower and the log got."""

    redis: Redis
    crawler: Crawler
    clock: Clock
    store: CrawlStore
    runner: BatchRunner
    webhooks: CrawlWebhooks
    tracked: list[Applied]

    def order(self, *ids: str, **changes: Any) -> None:
        """Record crawls of one page each and its links."""
        request = {name: changes.pop(name) for name in list(changes) if name in CrawlRequest.__dataclass_fields__}
        for id_ in ids:
            site = CrawlRequest(**({"start_url": f"{SITE}{id_}/", "max_depth": 1} | request))
            self.store.order(id_, NewCrawl(site, "http://receiver.test", **changes))

    def create(self, *ids: str, **changes: Any) -> None:
        """Record crawls and have the remote take them; their first poll is due when this returns."""
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

    def receive(self, id_: str, *events: dict[str, Any], webhooks: CrawlWebhooks | None = None) -> list[EventReceipt]:
        """Deliver events to a crawl's address, as the receiver takes them."""
        webhooks = webhooks or self.webhooks
        received = []
        for document in events:
            event = read_event(document)
            assert not isinstance(event, NoEvent), event.words
            crawl = webhooks.store.get(id_)
            became = webhooks.take(crawl, event) if crawl else EventReceipt.UNKNOWN
            if became is EventReceipt.FOREIGN:
                webhooks.stop(event.remote_id)
            received.append(became)
        return received

    def deliver(self, webhooks: CrawlWebhooks | None = None) -> None:
        """Have the remote deliver all its events, each to the crawl that ordered it."""
        for remote_id, event in self.crawler.undelivered():
            address = next(
                order["callback"]["url"]
                for at, order in enumerate(self.crawler.orders, 1)
                if f"remote-{at}" == remote_id
            )
            self.receive(address.rpartition("/")[2], event, webhooks=webhooks)
            self.crawler.delivered(remote_id, event)

    def bring_home(self, most: int = 60) -> None:
        """Healthy rounds, events and passing time until every crawl has ended and the remote has no more events."""
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
