"""What tests of events begin with: a crawl of some pages with a callback, on a clock to set."""

from __future__ import annotations

import json
from typing import Any

from redis import Redis

from service.crawls.documents import completed_entry, page_event, summary_document
from service.crawls.frontier import Frontier, FrontierPage, PageEnd
from service.crawls.order import CrawlOrder, with_faults
from service.crawls.outbox import AttemptedDelivery, Outbox, OutboxEvent
from service.crawls.store import ServiceCrawlStore
from service.faults.crawl_faults import delivery_faults
from service.fetching.request import FetchRequest
from tests.builders import Clock
from tests.unit.service.crawls.crawl_parts import CALLBACK, START_URL

RESPONSE = '{"body":"b","statusCode":200}'


class OutboxParts:
    """A crawl of some pages with a callback, on a clock to set."""

    def __init__(self, redis: Redis, **changes: object) -> None:
        self.clock = Clock()
        self.store = ServiceCrawlStore(redis, retention=3600, clock=self.clock)
        self.frontier = Frontier(self.store, per_host=50, share=50, lease=60, retry_for=60)
        self.outbox = Outbox(self.store, per_crawl=16, share=8, lease=60)
        given: dict[str, object] = {
            "max_depth": 1,
            "budget": None,
            "include": ".*",
            "exclude": "",
            "callback": CALLBACK,
        }
        fields: dict[str, Any] = given | changes
        self.order = with_faults(CrawlOrder(start_url=START_URL, page=FetchRequest(START_URL), **fields))
        self.crawl_id = self.store.create(self.order)

    def end_of(self, page: FrontierPage, *links: str) -> PageEnd:
        faults = delivery_faults(self.order.faults, webhook=self.order.callback is not None)
        event = page_event(self.order, page, 1, 1, RESPONSE) if self.order.callback else None
        return PageEnd(
            completed_entry(page.url, 1),
            1,
            event,
            delay_seconds=faults.delay_seconds(page.url),
            lose_every=faults.lose,
            links=links,
        )

    def crawled(self, pages: int) -> None:
        [start] = self.frontier.claim(1).pages
        self.frontier.write(
            [self.frontier.settling(start, self.end_of(start, *(f"{START_URL}{number}" for number in range(1, pages))))]
        )
        self.frontier.write(
            [self.frontier.settling(page, self.end_of(page)) for page in self.frontier.claim(pages).pages]
        )

    def claim(self, limit: int = 100) -> list[OutboxEvent]:
        return self.outbox.claim(limit).events

    @property
    def state(self) -> str:
        snapshot = self.store.snapshot(self.crawl_id)
        return snapshot.fields["state"] if snapshot else "gone"


def delivered(*events: OutboxEvent) -> list[AttemptedDelivery]:
    return [AttemptedDelivery(event, None, event.attempts + 1) for event in events]


def urls(events: list[OutboxEvent]) -> list[str]:
    return sorted(json.loads(event.document)["url"] for event in events)


def several(redis: Redis, crawls: int, pages: int) -> OutboxParts:
    """So many crawls, each of so many pages, whose events are all due."""
    parts = OutboxParts(redis)
    for _ in range(crawls - 1):
        parts.store.create(parts.order)
    starts = parts.frontier.claim(crawls).pages
    links = [f"{START_URL}{number}" for number in range(1, pages)]
    parts.frontier.write([parts.frontier.settling(page, parts.end_of(page, *links)) for page in starts])
    while rest := parts.frontier.claim(1000).pages:
        parts.frontier.write([parts.frontier.settling(page, parts.end_of(page)) for page in rest])
        parts.clock.now += 1
    return parts


def written_summary(parts: OutboxParts) -> dict[str, object]:
    snapshot = parts.store.snapshot(parts.crawl_id)
    assert snapshot is not None
    return dict(
        json.loads(
            summary_document(parts.order, parts.crawl_id, snapshot.fields, parts.store.run_lists(parts.crawl_id))
        )
    )
