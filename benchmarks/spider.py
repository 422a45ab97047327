"""Scrapy on the same site, as its tutorial has it: a CrawlSpider that follows every link of the site, and an item for
each page.

`python -m benchmarks.spider START_URL DEPTH CONCURRENCY [FEED]` prints {"seconds", "cpu", "urls"}: from the first
request to the last item. FEED: a file for the items as JSON lines, then with the page's headers and body, which is what
our page events carry.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import CrawlSpider, Rule


class SiteSpider(CrawlSpider):
    """Every page of the site."""

    name = "site"
    rules = (Rule(LinkExtractor(), callback="parse_page", follow=True),)
    whole = False

    def parse_start_url(self, response: Response, **_: Any) -> Iterator[dict[str, Any]]:
        """The item of the start page."""
        return self.parse_page(response)

    def parse_page(self, response: Response) -> Iterator[dict[str, Any]]:
        """The item of a page."""
        item: dict[str, Any] = {"url": response.url, "statusCode": response.status, "depth": response.meta["depth"]}
        if self.whole:
            item |= {"headers": dict(response.headers.to_unicode_dict()), "body": response.text}
        yield item


class Timer:
    """Measures from the first request to the last item."""

    def __init__(self) -> None:
        self.began = self.ended = self.cpu_began = self.cpu_ended = 0.0
        self.urls: list[str] = []

    def on_request(self) -> None:
        """A request is sent."""
        if not self.began:
            self.began, self.cpu_began = time.time(), time.process_time()

    def on_item(self, item: dict[str, Any]) -> None:
        """An item was scraped."""
        self.urls.append(item["url"])
        self.ended, self.cpu_ended = time.time(), time.process_time()


def main(start_url: str, depth: str, concurrency: str, feed: str = "") -> None:
    settings: dict[str, Any] = {
        "LOG_LEVEL": "WARNING",
        "ROBOTSTXT_OBEY": False,
        "AUTOTHROTTLE_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "CONCURRENT_REQUESTS_PER_DOMAIN": int(concurrency),
        "CONCURRENT_REQUESTS": max(16, int(concurrency)),
        # Breadth first, as in Scrapy's documentation, so that the depth limit is exact.
        "DEPTH_LIMIT": int(depth),
        "DEPTH_PRIORITY": 1,
        "SCHEDULER_DISK_QUEUE": "scrapy.squeues.PickleFifoDiskQueue",
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
    }
    if feed:
        settings["FEEDS"] = {feed: {"format": "jsonlines", "overwrite": True}}
    process, timer = CrawlerProcess(settings), Timer()
    crawler = process.create_crawler(SiteSpider)
    crawler.signals.connect(timer.on_request, signals.request_reached_downloader)
    crawler.signals.connect(timer.on_item, signals.item_scraped)
    process.crawl(crawler, start_urls=[start_url], allowed_domains=[urlsplit(start_url).hostname], whole=bool(feed))
    process.start()
    print(
        json.dumps({"seconds": timer.ended - timer.began, "cpu": timer.cpu_ended - timer.cpu_began, "urls": timer.urls})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
