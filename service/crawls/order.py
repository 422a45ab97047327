"""What a client may have crawled: the JSON posted to `/job` becomes an `CrawlOrder`, or `InvalidArgument` names the
field, the value and the rule. Pure.

Source: the contract's Crawler API page. What the service cannot honour is refused and never ignored in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from longhaul.errors import InvalidArgument, invalid
from longhaul.links.extract import normalised
from longhaul.links.scope import Scope
from longhaul.scraperapi.crawl_models import INTERVALS, ONCE
from longhaul.scraperapi.models import Json
from service.jobs.submission import RunRequest, read_callback, read_object, read_params, read_switch, read_url

FIELDS = frozenset(
    {
        *("apiKey", "api_key", "start_url", "max_depth", "crawl_budget", "url_regexp_include", "url_regexp_exclude"),
        *("api_params", "callback", "enabled", "schedule"),
        # Official clients send these as well.
        *("additional_data", "scraper_sdk", "cron"),
    }
)
LONGEST_NAME = 200
MOST_ADDITIONAL = 16 * 1024
"""Bytes of `additional_data` as JSON."""
FREE_DEPTH = 1


@dataclass(frozen=True, slots=True)
class CrawlOrderRules:
    """What this service takes. `private`: pages and callbacks may be at private addresses; the most of either bound of
    a crawl.
    """

    private: bool
    max_depth: int
    max_budget: int


@dataclass(frozen=True, slots=True)
class CrawlOrder:
    """One crawl, checked. `start_url` normalised; `budget` in credits; `exclude` empty: nothing is excluded; `page`:
    how each page is fetched, for the start page; `callback` None: events go nowhere; `interval` from `INTERVALS`;
    `faults`: filled in by `service.faults.crawl_faults`.
    """

    start_url: str
    max_depth: int | None
    budget: int | None
    include: str
    exclude: str
    page: RunRequest
    callback: str | None = None
    enabled: bool = True
    interval: str = ONCE
    name: str = ""
    additional: Json | None = None
    faults: str = ""

    def scope(self) -> Scope:
        """The rules for its links, made anew: they remember what they have decided, so keep them for the crawl's pages."""
        return Scope.of(self.start_url, self.include, self.exclude)


def read_crawl_order(document: Json, terms: CrawlOrderRules) -> CrawlOrder:
    """The crawl of a `POST /job`."""
    for key in document:
        if key not in FIELDS:
            raise invalid(key, document[key], "unknown field")
    start_url = _start_url(document.get("start_url"), private=terms.private)
    max_depth = _bound("max_depth", document.get("max_depth"), 0, terms.max_depth)
    budget = _bound("crawl_budget", document.get("crawl_budget"), 1, terms.max_budget)
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
        exclude=_expression("url_regexp_exclude", document.get("url_regexp_exclude")),
        page=RunRequest(start_url, **read_params("api_params", document.get("api_params"))),
        callback=read_callback(document.get("callback"), private=terms.private),
        enabled=True if enabled is None else enabled,
        interval=interval,
        name=name,
        additional=read_object("additional_data", document.get("additional_data"), MOST_ADDITIONAL),
    )
    order.scope()  # A bad expression is refused here, and not met by the crawl
    return order


def forbidden_on_free(order: CrawlOrder) -> str | None:
    """Why the free plan does not cover this crawl; None where it does. Without `max_depth` a crawl goes as deep as the
    site.
    """
    if order.max_depth is None or order.max_depth > FREE_DEPTH:
        return f"max_depth: {order.max_depth}: on the free plan it must be given and at most {FREE_DEPTH}; deeper crawls need a paid plan"
    if order.interval != ONCE:
        return f"schedule: {order.interval}: on the free plan a crawl runs once; recurring schedules need a paid plan"
    return None


def _start_url(url: Any, *, private: bool) -> str:
    name = "start_url"
    parts = urlsplit(read_url(name, url, private=private))
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(
            f"{name}: must not carry user and password (not shown): the pages of a crawl are asked for without them"
        )
    address = normalised(url)
    if address is None:
        raise invalid(name, url, "must be an http:// or https:// URL")
    # The URL standard reads some hosts differently from Python, and it is its reading that is fetched.
    return read_url(name, address, private=private)


def _bound(name: str, value: Any, least: int, most: int) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
        raise invalid(name, value, f"must be a whole number from {least} to {most}")
    return value


def _include(pattern: Any) -> str:
    if pattern is None or pattern == "":
        raise invalid("url_regexp_include", pattern, "must be a regular expression; .* takes all pages of the site")
    return _expression("url_regexp_include", pattern)


def _expression(name: str, pattern: Any) -> str:
    if pattern is not None and not isinstance(pattern, str):
        raise invalid(name, pattern, "must be a string: a regular expression")
    return pattern or ""


def _schedule(schedule: Any) -> tuple[str, str]:
    """(interval, name)."""
    if schedule is None:
        return ONCE, ""
    if not isinstance(schedule, dict) or schedule.keys() - {"name", "interval", "cron"}:
        raise invalid("schedule", schedule, 'must be {"name": ..., "interval": ...}')
    _refuse_cron("schedule.cron", schedule.get("cron"))
    interval, name = schedule.get("interval"), schedule.get("name")
    if interval is not None and interval not in INTERVALS:
        raise invalid("schedule.interval", interval, f"must be one of {', '.join(INTERVALS)}")
    if name is not None and (not isinstance(name, str) or len(name) > LONGEST_NAME):
        raise invalid("schedule.name", name, f"must be a string of at most {LONGEST_NAME} characters")
    return interval or ONCE, name or ""


def _refuse_cron(name: str, cron: Any) -> None:
    if cron is not None and cron != "":
        raise invalid(
            name, cron, f"cron expressions are not supported; schedule.interval is one of {', '.join(INTERVALS)}"
        )
