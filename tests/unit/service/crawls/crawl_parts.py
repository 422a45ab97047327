"""What tests of crawls begin with: an order, a frontier on a clock to set, and the ends of pages."""

from __future__ import annotations

from dataclasses import replace

from redis import Redis

from service.crawls.frontier import Frontier, FrontierPage, PageEnd
from service.crawls.order import CrawlOrder
from service.crawls.store import CrawlSnapshot, ServiceCrawlStore
from service.fetching.request import FetchRequest
from tests.builders import Clock

START_URL = "http://site.test/"
CALLBACK = "http://hook.test/"


def order(start: str = START_URL, **changes: object) -> CrawlOrder:
    given: dict[str, object] = {
        "max_depth": 10,
        "budget": None,
        "include": ".*",
        "exclude": "",
        "page": FetchRequest(start),
    }
    return CrawlOrder(start_url=start, **(given | changes))  # type: ignore[arg-type]


def frontier_of(
    redis: Redis, clock: Clock, per_host: int = 50, share: int = 50, lease: float = 60
) -> tuple[ServiceCrawlStore, Frontier]:
    store = ServiceCrawlStore(redis, retention=3600, clock=clock)
    return store, Frontier(store, per_host=per_host, share=share, lease=lease, retry_for=60)


def completed(
    page: FrontierPage, *links: str, cost: int = 1, redirected_to: str = "", event: str | None = None
) -> PageEnd:
    return PageEnd(
        f'{{"url":"{page.url}","cost":{cost}}}'.encode(), cost, event, links=links, redirected_to=redirected_to
    )


def failed(page: FrontierPage) -> PageEnd:
    return PageEnd(f'{{"url":"{page.url}","failReason":"x"}}'.encode(), 0, None, completed=False)


def settle(frontier: Frontier, page: FrontierPage, end: PageEnd) -> str:
    links = end.links
    assert len(links) <= 1000 or frontier.keep_links(page, links[1000:])
    return frontier.write([frontier.settling(page, replace(end, links=links[:1000]))])[0]


def snapshot_of(store: ServiceCrawlStore, crawl_id: str) -> CrawlSnapshot:
    progress = store.snapshot(crawl_id)
    assert progress is not None
    return progress


def url_of(number: int) -> str:
    return f"http://site.test/{number}" if number else START_URL
