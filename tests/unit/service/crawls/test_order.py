from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longhaul.errors import InvalidArgument
from longhaul.links.scope import Scope
from service.crawls.order import (
    FIELDS,
    CrawlOrder,
    CrawlOrderRules,
    forbidden_on_free,
    read_crawl_order,
    with_faults,
)
from service.fetching.request import FetchRequest

START = "http://example.com/a"
RULES = CrawlOrderRules(private=False, max_depth=20, max_budget=5_000)
LEAST = {"api_key": "k", "start_url": START, "max_depth": 1, "url_regexp_include": ".*"}
PLAIN = CrawlOrder(START, 1, None, ".*", "", FetchRequest(START))


def read(**fields: Any) -> CrawlOrder:
    return read_crawl_order(LEAST | fields, RULES)


def refused(**fields: Any) -> str:
    with pytest.raises(InvalidArgument) as error:
        read(**fields)
    return str(error.value)


def test_additional_data_is_of_a_bounded_size() -> None:
    assert read(additional_data={"a": "x" * 16_000})
    assert "additional_data: " in (words := refused(additional_data={"a": "x" * 17_000}))
    assert words.endswith("must be at most 16384 bytes of JSON; this is 17008")


def test_a_start_a_bound_and_an_expression_are_enough() -> None:
    assert read() == PLAIN
    assert read(max_depth=None, crawl_budget=5) == replace(PLAIN, max_depth=None, budget=5)


def test_everything_the_contract_names_is_accepted() -> None:
    document = {
        "apiKey": "k",
        "start_url": "HTTPS://Example.com:443/b/../a#top",
        "max_depth": 0,
        "crawl_budget": 5_000,
        "url_regexp_include": "/a/",
        "url_regexp_exclude": "/b/",
        "api_params": {"output_format": "markdown", "keep_headers": "true", "render": False, "max_cost": 2},
        "callback": {"type": "webhook", "url": "https://user:pass@hooks.example.com/x"},
        "enabled": False,
        "schedule": {"name": "shop", "interval": "weekly"},
        "additional_data": {"team": 7},
        "scraper_sdk": "mcp",
        "cron": "",
    }
    assert document.keys() | {"api_key"} == FIELDS
    start = "https://example.com/a"
    assert read_crawl_order(document, RULES) == CrawlOrder(
        *(start, 0, 5_000, "/a/", "/b/"),
        FetchRequest(start, keep_headers=True, output_format="markdown"),
        "https://user:pass@hooks.example.com/x",
        enabled=False,
        interval="weekly",
        name="shop",
        additional={"team": 7},
    )


def test_null_asks_for_nothing() -> None:
    names = (
        "crawl_budget",
        "url_regexp_exclude",
        "api_params",
        "callback",
        "enabled",
        "schedule",
        "additional_data",
        "cron",
        "scraper_sdk",
    )
    assert read(**dict.fromkeys(names)) == PLAIN
    assert read(schedule={"name": None, "interval": None, "cron": None}) == PLAIN


def test_an_empty_name_and_an_empty_exclude_are_fine() -> None:
    assert read(schedule={"name": "", "interval": "once"}, url_regexp_exclude="") == PLAIN
    assert read(schedule={}) == PLAIN


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start_url": None}, "start_url: None: must be an http"),
        ({"start_url": "example.com"}, "start_url: 'example.com': must be an http"),
        ({"start_url": "http://exa mple.com/"}, "start_url: 'http://exa mple.com/': must not contain spaces"),
        ({"start_url": "http://127.0.0.1/"}, "start_url: 'http://127.0.0.1/': must not be a private"),
        ({"start_url": "http://\uff11\uff12\uff17.0.0.1/"}, "start_url: 'http://127.0.0.1/': must not be a private"),
        ({"start_url": "http://a%zz/"}, "start_url: 'http://a%zz/': must be an http"),
        ({"start_url": "http://h/" + "é" * 6000}, "start_url: "),
        ({"max_depth": None}, "max_depth, crawl_budget: both missing"),
        ({"max_depth": -1}, "max_depth: -1: must be a whole number from 0 to 20"),
        ({"max_depth": 21}, "max_depth: 21: must be a whole number from 0 to 20"),
        ({"max_depth": "1"}, "max_depth: '1': must be a whole number"),
        ({"max_depth": 1.0}, "max_depth: 1.0: must be a whole number"),
        ({"max_depth": True}, "max_depth: True: must be a whole number"),
        ({"crawl_budget": 0}, "crawl_budget: 0: must be a whole number from 1 to 5000"),
        ({"crawl_budget": 5001}, "crawl_budget: 5001: must be a whole number from 1 to 5000"),
        ({"url_regexp_include": None}, "url_regexp_include: None: must be a regular expression"),
        ({"url_regexp_include": ""}, "url_regexp_include: '': must be a regular expression"),
        ({"url_regexp_include": [".*"]}, "url_regexp_include: ['.*']: must be a string"),
        ({"url_regexp_include": "a(?=b)"}, "url_regexp_include: 'a(?=b)': look-ahead is not supported"),
        ({"url_regexp_exclude": "("}, "url_regexp_exclude: '(': is not a regular expression of RE2"),
        ({"url_regexp_exclude": 7}, "url_regexp_exclude: 7: must be a string"),
        ({"api_params": []}, "api_params: []: must be an object"),
        (
            {"api_params": {"country_code": "us"}},
            "api_params.country_code: 'us': not supported by this self-hosted service yet",
        ),
        ({"api_params": {"frobnicate": 1}}, "api_params.frobnicate: 1: unknown parameter"),
        ({"api_params": {"device_type": "watch"}}, "api_params.device_type: 'watch': must be one of desktop, mobile"),
        (
            {"callback": {"type": "webhook", "url": "YYYYYY"}},
            "callback.url: a str of 6 characters (not shown, it may be secret): must be an http",
        ),
        (
            {"callback": {"type": "webhook", "url": "http://10.0.0.1/"}},
            "callback.url: a str of 16 characters (not shown, it may be secret): must not be a private",
        ),
        ({"callback": {"type": "email"}}, "callback: a dict (not shown, it may be secret): must be"),
        ({"enabled": 1}, "enabled: 1: must be true or false"),
        ({"schedule": "weekly"}, "schedule: 'weekly': must be"),
        ({"schedule": {"every": "week"}}, "schedule: {'every': 'week'}: must be"),
        (
            {"schedule": {"interval": "yearly"}},
            "schedule.interval: 'yearly': must be one of once, hourly, daily, weekly, monthly",
        ),
        ({"schedule": {"interval": []}}, "schedule.interval: []: must be one of"),
        ({"schedule": {"name": 1}}, "schedule.name: 1: must be a string"),
        ({"schedule": {"name": "x" * 201}}, "at most 200 characters"),
        (
            {"schedule": {"cron": "* * * * *"}},
            "schedule.cron: '* * * * *': cron expressions are not supported; schedule.interval is one of once",
        ),
        ({"cron": "* * * * *"}, "cron: '* * * * *': cron expressions are not supported"),
        ({"additional_data": "text"}, "additional_data: 'text': must be an object"),
        (
            {"additional_data": {"a": float("nan")}},
            "additional_data: {'a': nan}: must be JSON (Out of range float values",
        ),
        ({"url": START}, "url: 'http://example.com/a': unknown field"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_field_value_and_rule(fields: dict[str, Any], words: str) -> None:
    assert words in refused(**fields)


def test_a_password_is_refused_and_not_quoted() -> None:
    message = refused(start_url="http://user:hunter2@example.com/")
    assert message.startswith("start_url: must not carry user and password")
    assert "hunter2" not in message
    assert "password" in refused(start_url="http://user@example.com/")


def test_private_addresses_are_accepted_where_they_are_allowed() -> None:
    local = {"start_url": "http://127.0.0.1:80/", "callback": {"type": "webhook", "url": "http://localhost/hook"}}
    order = read_crawl_order(LEAST | local, replace(RULES, private=True))
    assert (order.start_url, order.page.url, order.callback) == (
        "http://127.0.0.1/",
        "http://127.0.0.1/",
        "http://localhost/hook",
    )


def test_the_scope_is_the_orders() -> None:
    order = read(url_regexp_include="/b/", url_regexp_exclude="/c/")
    assert order.scope() == Scope.of(START, "/b/", "/c/")


def test_an_order_survives_json() -> None:
    order = read(schedule={"interval": "daily"}, additional_data={"a": [1]}, api_params={"retry_404": True})
    document = json.loads(json.dumps(asdict(order)))
    assert CrawlOrder(**document | {"page": FetchRequest(**document["page"])}) == order


@pytest.mark.parametrize("fields", [{}, {"max_depth": 0}, {"crawl_budget": 9}, {"schedule": {"interval": "once"}}])
def test_shallow_crawls_that_run_once_are_free(fields: dict[str, Any]) -> None:
    assert forbidden_on_free(read(**fields)) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_depth": 2}, "max_depth: 2: on the free plan it must be given and at most 1"),
        ({"max_depth": None, "crawl_budget": 9}, "max_depth: None: on the free plan it must be given and at most 1"),
        ({"schedule": {"interval": "hourly"}}, "schedule: hourly: on the free plan a crawl runs once"),
    ],
)
def test_deeper_and_recurring_crawls_are_not(fields: dict[str, Any], words: str) -> None:
    assert (forbidden_on_free(read(**fields)) or "").startswith(words)


def test_the_words_of_the_dial_may_stand_in_the_host_or_in_additional_data() -> None:
    plain = read(additional_data={"mine": 1})
    assert with_faults(plain) is plain
    data = {"x-longhaul-fault": "lose-2"}
    assert with_faults(read(additional_data=data)) == replace(read(additional_data=data), faults="lose-2")
    assert with_faults(read(start_url="http://lose-2.fault.invalid/")).faults == "lose-2"
    with pytest.raises(InvalidArgument, match=r"^fault: "):
        with_faults(read(additional_data={"x-longhaul-fault": "explode"}))


def test_the_dial_can_switch_the_events_off() -> None:
    callback = {"type": "webhook", "url": "http://hook.example.com/"}
    assert with_faults(read(start_url="http://ok.fault.invalid/", callback=callback)).callback == callback["url"]
    assert with_faults(read(start_url="http://nowebhook.fault.invalid/", callback=callback)).callback is None


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.sampled_from(sorted(FIELDS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["type", "url", "name", "interval", "cron"]), inner)
        ),
        max_leaves=5,
    ),
)
def test_any_value_in_any_field_is_accepted_or_refused_with_a_reason(field: str, value: Any) -> None:
    with contextlib.suppress(InvalidArgument):
        read(**{field: value})
