"""What the fault dial does to crawls: words in the start page's host, or in `additional_data`. Pure.

    "start_url": "http://site-50.lose-7.fault.invalid/"      the service makes up the site itself, without network
    "additional_data": {"x-longhaul-fault": "lose-7 late-2"}  with any site

A made-up site of N pages is a tree, ten links to a page, each page linking back to its parent and to the start page.
Every word: `docs/reference/faults.md`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from longhaul.scraperapi.models import Json
from service.faults import words
from service.faults.words import find_fault, host_words, read_faults
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import FetchOutcome

FAN_OUT = 10
HELD_SECONDS = 10**9
"""How long page events wait for a summary that is delivered before them."""
_NUMBER = re.compile(r"/p/(\d+)")


@dataclass(frozen=True, slots=True)
class DeliveryFaults:
    """How the dial has the events of one crawl delivered. `late`, `shuffle` and `slow` in seconds; `held`: not before
    the summary; `lose`: every so many-th is lost, 0: none; `refused`: attempts at each event that fail.
    """

    late: float = 0.0
    shuffle: float = 0.0
    held: bool = False
    lose: int = 0
    twice: bool = False
    slow: float = 0.0
    refused: int = 0

    def delay_seconds(self, url: str) -> float:
        """Seconds until the event of this page is due."""
        if self.held:
            return HELD_SECONDS
        share = int.from_bytes(hashlib.sha256(url.encode()).digest()[:2]) / 2**16
        return self.late + share * self.shuffle


NO_FAULTS = DeliveryFaults()


def crawl_spec(start_url: str, additional: Mapping[str, Any] | None) -> str:
    """The spec of a crawl; empty where there is none. An unknown word is an `InvalidArgument`."""
    spec = (additional or {}).get(words.HEADER) or host_words(start_url)
    if not isinstance(spec, str) or not spec:
        return ""
    read_faults(spec)
    return spec


def summary_state(spec: str, *, webhook: bool) -> str:
    """When the summary is due: `due` after the page events, `first` before them, empty: never. `webhook`: the crawl has
    a callback.
    """
    faults = read_faults(spec)
    if not webhook or find_fault(faults, "nosummary"):
        return ""
    return "first" if find_fault(faults, "summaryfirst") else "due"


def delivery_faults(spec: str, *, webhook: bool) -> DeliveryFaults:
    """How the events of a crawl are delivered. `webhook`: the crawl has a callback."""
    if not spec:
        return NO_FAULTS
    faults = read_faults(spec)
    number = {fault.kind: fault.first or 1 for fault in faults}
    return DeliveryFaults(
        late=number.get("late", 0),
        shuffle=number.get("shuffle", 0),
        held="summaryfirst" in number and webhook,
        lose=number.get("lose", 0),
        twice="duplicate" in number,
        slow=number.get("slowpush", 0),
        refused=next((fault.times for fault in faults if fault.kind == "push500"), 0),
    )


def faulty_progress(spec: str, document: Json) -> Json:
    """A progress document as the dial shows it: `stuck` keeps one page active for ever."""
    if not find_fault(read_faults(spec), "stuck"):
        return document
    return document | {"status": "running", "active": max(1, document["active"])}


def outcome(request: FetchRequest, spec: str, attempts: int, first: float, now: float) -> FetchOutcome | None:
    """What an attempt at this page meets without any network; None: fetch it. `first`: when it was first tried (epoch
    seconds, as `now`).
    """
    site = find_fault(read_faults(spec), "site")
    return words.outcome(request, spec, attempts, first, now, page_of(request.url, site.times) if site else None)


def site_for(start_url: str) -> dict[str, int]:
    """The depth of every page that a crawl of this made-up site has to get, by its URL."""
    site = find_fault(read_faults(host_words(start_url)), "site")
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
    head = f"<!doctype html><html><head><title>Page {number}</title></head>"
    return 200, f"{head}<body><h1>Page {number}</h1><ul>{links}</ul></body></html>"


def _path(number: int) -> str:
    return f"/p/{number}" if number else "/"
