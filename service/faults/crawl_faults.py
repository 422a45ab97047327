"""What the fault dial does to crawls: words in the start page's host, or in `additional_data`. Pure.

    "start_url": "http://site-50.lose-7.fault.invalid/"      the service makes the site up itself, without network
    "additional_data": {"x-longhaul-fault": "lose-7 late-2"}  with any site

A made-up site of N pages is a tree, ten links to a page, each page linking back to its parent and to the start page.
Every word: `docs/reference/faults.md`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from longhaul.scraperapi.models import Json
from service.crawls.order import CrawlOrder
from service.faults import words as faults
from service.fetching.retry_policy import FetchOutcome

FAN_OUT = 10
HELD = 10**9
"""Seconds: page events wait that long for a summary that goes before them."""
_NUMBER = re.compile(r"/p/(\d+)")


@dataclass(frozen=True, slots=True)
class DeliveryFaults:
    """How the dial has the events of one crawl told: `late` and `shuffle` in seconds, every `lose`-th not at all (0:
    none is lost).
    """

    late: float = 0.0
    shuffle: float = 0.0
    held: bool = False
    lose: int = 0
    twice: bool = False
    slow: float = 0.0
    refused: int = 0

    def delay(self, url: str) -> float:
        """Seconds until the event of this page is due."""
        if self.held:
            return HELD
        share = int.from_bytes(hashlib.sha256(url.encode()).digest()[:2]) / 2**16
        return self.late + share * self.shuffle


PLAIN = DeliveryFaults()


def dialled(order: CrawlOrder) -> CrawlOrder:
    """The order with its faults; an unknown word is an `InvalidArgument`."""
    spec = (order.additional or {}).get(faults.HEADER) or faults.host_words(order.start_url)
    if not isinstance(spec, str) or not spec:
        return order
    faults.read(spec)
    return replace(order, faults=spec, callback=None if "nowebhook" in spec.split() else order.callback)


def summary_of(order: CrawlOrder) -> str:
    """Whether and when the summary is due: `due` after the pages, `first` before them, empty: never."""
    words = faults.read(order.faults)
    if order.callback is None or faults.find(words, "nosummary"):
        return ""
    return "first" if faults.find(words, "summaryfirst") else "due"


def delivery_faults(order: CrawlOrder) -> DeliveryFaults:
    """How its events are told."""
    if not order.faults:
        return PLAIN
    words = faults.read(order.faults)
    number = {word.kind: word.first or 1 for word in words}
    return DeliveryFaults(
        late=number.get("late", 0),
        shuffle=number.get("shuffle", 0),
        held="summaryfirst" in number and order.callback is not None,
        lose=number.get("lose", 0),
        twice="duplicate" in number,
        slow=number.get("slowpush", 0),
        refused=next((word.times for word in words if word.kind == "push500"), 0),
    )


def shown(spec: str, document: Json) -> Json:
    """What the dial makes of a progress document: one page may be active for ever."""
    if not faults.find(faults.read(spec), "stuck"):
        return document
    return document | {"status": "running", "active": max(1, document["active"])}


def outcome(order: CrawlOrder, url: str, attempts: int, first: float, now: float) -> FetchOutcome | None:
    """What an attempt at this page meets without any network; None: fetch it. `first`: when it was first tried (epoch
    seconds).
    """
    page = replace(order.page, url=url, faults=order.faults)
    site = faults.find(faults.read(order.faults), "site")
    return faults.outcome(page, attempts, first, now, page_of(url, site.times) if site else None)


def site_for(start_url: str) -> dict[str, int]:
    """The depth of every page that a crawl of this made-up site has to get, by its URL."""
    words = faults.read(faults.host_words(start_url))
    site = faults.find(words, "site")
    depths = {0: 0}
    for number in range(1, site.times if site else 1):
        depths[number] = depths[(number - 1) // FAN_OUT] + 1
    parts = urlsplit(start_url)
    root = f"{parts.scheme}://{parts.netloc}"
    return {f"{root}{_path(number)}": depth for number, depth in depths.items()}


def page_of(url: str, pages: int) -> tuple[int, str]:
    """Status and HTML of one page of a made-up site of so many pages."""
    path = urlsplit(url).path
    match = _NUMBER.fullmatch(path)
    number = 0 if path in ("", "/") else int(match[1]) if match else pages
    if number >= pages:
        return 404, f"<!doctype html><html><body><h1>No page {path}</h1></body></html>"
    children = range(number * FAN_OUT + 1, min((number + 1) * FAN_OUT, pages - 1) + 1)
    linked = [0, *([(number - 1) // FAN_OUT] if number else []), *children]
    links = "".join(f'<li><a href="{_path(to)}">{to}</a></li>' for to in linked)
    return (
        200,
        f"<!doctype html><html><head><title>Page {number}</title></head><body><h1>Page {number}</h1><ul>{links}</ul></body></html>",
    )


def _path(number: int) -> str:
    return f"/p/{number}" if number else "/"
