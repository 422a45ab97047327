"""What the Celery tasks of crawls do: a round of fetching pages, or a round of delivering events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.crawls.crawler import PAGES_AT_ONCE, Crawler
from service.crawls.delivery import EVENTS_AT_ONCE, MAX_DELIVERY_ROUNDS, EventDeliverer
from service.crawls.frontier import Frontier
from service.crawls.outbox import Outbox
from service.crawls.store import CRAWL, DELIVER, ServiceCrawlStore
from service.fetching.fetch import FetchLimits
from service.round_worker import RoundWorker


@dataclass(frozen=True, kw_only=True)
class CrawlWorker(RoundWorker):
    """Works off the pages and events that are due. `retry_for`: seconds for which a page is tried."""

    store: ServiceCrawlStore
    frontier: Frontier
    outbox: Outbox
    limits: FetchLimits
    retry_for: float

    def dispatch(self) -> Iterator[tuple[str, str]]:
        """Begin the runs whose time has come; lane and token of each round to start now."""
        self.store.begin_due_runs()
        for token in self.frontier.dispatch(PAGES_AT_ONCE, self.max_rounds):
            yield CRAWL, token
        for token in self.outbox.dispatch(EVENTS_AT_ONCE, min(MAX_DELIVERY_ROUNDS, self.max_rounds)):
            yield DELIVER, token

    def leave(self, lane: str, token: str) -> None:
        """Give the token of a round back."""
        self.store.leave(lane, token)

    def crawl(self, token: str) -> None:
        """One round of fetching pages; `token` as `start` was given it."""
        crawler = Crawler(self.store, self.frontier, self.limits, self.retry_for, self.wake_safely, self.stopping)
        self._round(CRAWL, token, crawler.crawl)

    def deliver(self, token: str) -> None:
        """One round of delivering events; `token` as `start` was given it."""
        deliverer = EventDeliverer(self.store, self.outbox, self.limits.private, self.stopping)
        self._round(DELIVER, token, deliverer.deliver)

    def _round(self, lane: str, token: str, work: Callable[[str], int]) -> None:
        if self.run_round(lane, token, work):
            # What is left, or has become due meanwhile, need not wait for the tick.
            self.wake_safely()
