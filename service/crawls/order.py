"""What a client may have crawled: the JSON posted to `/job` becomes a `CrawlOrder`, or `InvalidArgument` names the
field, the value and the rule. Pure.

Source: the contract's Crawler API page. A field that the service does not support is refused, never ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from longhaul.errors import InvalidArgument, invalid
from longhaul.links.extract import normalised
from longhaul.links.scope import Scope
from longhaul.scraperapi.crawl_models import INTERVALS, ONCE
from longhaul.scraperapi.fields import read_bound, read_expression, read_interval, read_object, read_schedule_name
from longhaul.scraperapi.models import Json
from service.faults.crawl_faults import crawl_spec
from service.faults.words import drops_webhooks
from service.fetching.request import FetchRequest, read_callback, read_params, read_switch, read_url

FIELDS = frozenset(
    {
        *("apiKey", "api_key", "start_url", "max_depth", "crawl_budget", "url_regexp_include", "url_regexp_exclude"),
        *("api_params", "callback", "enabled", "schedule"),
        # The vendor's clients send these as well.
        *("additional_data", "scraper_sdk", "cron"),
    }
)
MAX_ADDITIONAL_BYTES = 16 * 1024
"""Longest `additional_data`, as JSON."""
MAX_FREE_DEPTH = 1


@dataclass(frozen=True, slots=True)
class CrawlOrderRules:
    """What this service accepts. `private`: pages and callbacks may be at private addresses; `max_depth`, `max_budget`:
    highest bounds that a crawl may have.
    """

    private: bool
    max_depth: int
    max_budget: int


@dataclass(frozen=True, slots=True)
class CrawlOrder:
    """One crawl, checked. `start_url` normalised; `budget` in credits; `exclude` empty: nothing is excluded; `page`:
    the request for the start page, as every page is fetched; `callback` None: no events are delivered; `interval` one
    of `INTERVALS`; `faults`: the fault dial's words.
    """

    start_url: str
    max_depth: int | None
    budget: int | None
    include: str
    exclude: str
    page: FetchRequest
    callback: str | None = None
    enabled: bool = True
    interval: str = ONCE
    name: str = ""
    additional: Json | None = None
    faults: str = ""

    def scope(self) -> Scope:
        """New rules for its links. They cache their decisions, so keep one object for all pages of the crawl."""
        return Scope.of(self.start_url, self.include, self.exclude)


def read_crawl_order(document: Json, rules: CrawlOrderRules) -> CrawlOrder:
    """The crawl of a `POST /job`."""
    for key in document:
        if key not in FIELDS:
            raise invalid(key, document[key], "unknown field")
    start_url = _start_url(document.get("start_url"), private=rules.private)
    max_depth = read_bound("max_depth", document.get("max_depth"), 0, rules.max_depth)
    budget = read_bound("crawl_budget", document.get("crawl_budget"), 1, rules.max_budget)
    if max_depth is None and budget is None:
        raise InvalidArgument("max_depth, crawl_budget: both missing: at least one of them must end the crawl")
    _refuse_cron("cron", document.get("cron"))
    interval, name = _schedule(document.get("schedule"))
    enabled = read_switch("enabled", document.get("enabled"))
    order = CrawlOrder(
        start_url=start_url,
        max_depth=max_depth,
        budget=budget,
        include=_include(document.get("url_regexp_include")),
        exclude=read_expression("url_regexp_exclude", document.get("url_regexp_exclude")),
        page=FetchRequest(start_url, **read_params("api_params", document.get("api_params"))),
        callback=read_callback(document.get("callback"), private=rules.private),
        enabled=True if enabled is None else enabled,
        interval=interval,
        name=name,
        additional=read_object("additional_data", document.get("additional_data"), MAX_ADDITIONAL_BYTES),
    )
    order.scope()  # refuses a bad expression now, instead of failing the crawl
    return order


def with_faults(order: CrawlOrder) -> CrawlOrder:
    """The order with its fault dial's words; an unknown word is an `InvalidArgument`."""
    spec = crawl_spec(order.start_url, order.additional)
    if not spec:
        return order
    return replace(order, faults=spec, callback=None if drops_webhooks(spec) else order.callback)


def forbidden_on_free(order: CrawlOrder) -> str | None:
    """Why the free plan does not cover this crawl; None where it does. Without `max_depth` a crawl has no bound of
    depth.
    """
    if order.max_depth is None or order.max_depth > MAX_FREE_DEPTH:
        return (
            f"max_depth: {order.max_depth}: on the free plan it must be given and at most {MAX_FREE_DEPTH}; "
            "deeper crawls need a paid plan"
        )
    if order.interval != ONCE:
        return f"schedule: {order.interval}: on the free plan a crawl runs once; recurring schedules need a paid plan"
    return None


def _start_url(url: Any, *, private: bool) -> str:
    name = "start_url"
    parts = urlsplit(read_url(name, url, private=private))
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(
            f"{name}: must not carry user and password (not shown): the pages of a crawl are fetched without them"
        )
    address = normalised(url)
    if address is None:
        raise invalid(name, url, "must be an http:// or https:// URL")
    # Checked again: the URL standard reads some hosts differently from Python, and its reading is what is fetched.
    return read_url(name, address, private=private)


def _include(pattern: Any) -> str:
    if pattern is None or pattern == "":
        raise invalid("url_regexp_include", pattern, "must be a regular expression; .* takes all pages of the site")
    return read_expression("url_regexp_include", pattern)


def _schedule(schedule: Any) -> tuple[str, str]:
    """(interval, name)."""
    if schedule is None:
        return ONCE, ""
    if not isinstance(schedule, dict) or schedule.keys() - {"name", "interval", "cron"}:
        raise invalid("schedule", schedule, 'must be {"name": ..., "interval": ...}')
    _refuse_cron("schedule.cron", schedule.get("cron"))
    interval, name = schedule.get("interval"), schedule.get("name")
    return ONCE if interval is None else read_interval(interval), "" if name is None else read_schedule_name(name)


def _refuse_cron(name: str, cron: Any) -> None:
    if cron is not None and cron != "":
        raise invalid(
            name, cron, f"cron expressions are not supported; schedule.interval is one of {', '.join(INTERVALS)}"
        )
