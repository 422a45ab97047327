"""A caller's arguments, checked once and completely; what is recorded has passed here.

Every error names the argument, the value and the rule. Nothing is recorded where one is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longhaul.errors import InvalidArgument, invalid
from longhaul.links.expressions import compiled
from longhaul.scraperapi.crawl_models import CrawlRequest
from longhaul.scraperapi.fields import read_bound, read_expression, read_interval, read_schedule_name, secretive
from longhaul.scraperapi.models import Json
from longhaul.work.arguments import (
    DEFAULT_ACCOUNT,
    DEFAULT_QUEUE,
    IntakeRules,
    read_account,
    read_api_params,
    read_callback,
    read_meta,
    read_queue,
    read_url,
)

ARGUMENTS = (
    *("start_url", "max_depth", "crawl_budget", "url_regexp_include", "url_regexp_exclude", "api_params"),
    *("enabled", "schedule", "callback", "queue", "account", "meta"),
)


@dataclass(frozen=True, slots=True)
class NewCrawl:
    """A checked crawl. `callback` is an http(s) address of the receiver: a crawl without one would have nowhere to send
    its pages.
    """

    request: CrawlRequest
    callback: str
    meta: Json | None = None
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT


@dataclass(frozen=True, slots=True)
class CrawlIntakeRules:
    """What this installation accepts: as for jobs, and the most of each bound."""

    jobs: IntakeRules
    max_depth: int
    max_budget: int


def read_new_crawl(arguments: Mapping[str, Any], rules: CrawlIntakeRules) -> NewCrawl:
    """The crawl in the keyword arguments of `crawls.create`; raises `InvalidArgument`."""
    for name in arguments:
        if name not in ARGUMENTS:
            raise secretive(
                name, arguments[name], f"is not an argument of crawls.create; those are {', '.join(ARGUMENTS)}"
            )
    max_depth = read_bound("max_depth", arguments.get("max_depth"), 0, rules.max_depth, "LONGHAUL_CRAWL_MAX_DEPTH")
    budget = read_bound("crawl_budget", arguments.get("crawl_budget"), 1, rules.max_budget, "LONGHAUL_CRAWL_MAX_BUDGET")
    if max_depth is None and budget is None:
        raise InvalidArgument("max_depth, crawl_budget: are both missing: at least one of them must end the crawl")
    interval, name = _schedule(arguments.get("schedule"))
    return NewCrawl(
        request=CrawlRequest(
            start_url=_start_url(arguments.get("start_url")),
            max_depth=max_depth,
            crawl_budget=budget,
            include=_expression("url_regexp_include", arguments.get("url_regexp_include", ".*")) or ".*",
            exclude=_expression("url_regexp_exclude", arguments.get("url_regexp_exclude")),
            api_params=read_api_params(arguments.get("api_params")),
            enabled=_enabled(arguments.get("enabled", True)),
            interval=interval,
            name=name,
        ),
        callback=_callback(arguments.get("callback"), rules.jobs),
        meta=read_meta(arguments.get("meta")),
        queue=read_queue(arguments.get("queue", DEFAULT_QUEUE)),
        account=read_account(arguments.get("account", DEFAULT_ACCOUNT), rules.jobs),
    )


def _start_url(value: object) -> str:
    if value is None:
        raise InvalidArgument("start_url: is missing: every crawl needs the page that it begins with")
    return read_url("start_url", value)


def _expression(name: str, value: object) -> str:
    expression = read_expression(name, value)
    try:
        compiled(name, expression)
    except InvalidArgument as error:
        # What only RE2 can't take, look-around above all, is for the remote to judge.
        if "not supported" not in str(error):
            raise
    return expression


def _enabled(value: object) -> bool:
    if not isinstance(value, bool):
        raise invalid("enabled", value, "must be true or false")
    return value


def _schedule(value: object) -> tuple[str, str]:
    """(interval, name); the interval is empty where there is no schedule."""
    if value is None:
        return "", ""
    if not isinstance(value, dict) or not value.keys() <= {"name", "interval"}:
        raise invalid("schedule", value, 'must be an object {"name", "interval"}')
    return read_interval(value.get("interval")), read_schedule_name(value.get("name", ""))


def _callback(value: object, rules: IntakeRules) -> str:
    if value is None and not rules.receiver:
        raise InvalidArgument(
            "callback: is missing, and LONGHAUL_PUBLIC_URL is not set: a crawl streams its pages to the receiver, so "
            "set LONGHAUL_PUBLIC_URL and LONGHAUL_WEBHOOK_SECRET where the workers and the receiver run, or name the "
            "receiver's address"
        )
    if value is False:
        raise invalid(
            "callback", value, "a crawl's pages come by no other way: must be the receiver's address, or left out"
        )
    return read_callback(value, rules)
