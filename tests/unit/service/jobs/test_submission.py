from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longhaul.errors import InvalidArgument
from service.fetching.request import FetchRequest
from service.jobs.submission import RunRequest, read_batch, read_job, with_faults

URL = "http://example.com/"


def read(**fields: Any) -> RunRequest:
    return read_job({"apiKey": "k", "url": URL, **fields}, private=False)


def test_a_url_is_enough() -> None:
    assert read() == RunRequest(FetchRequest(URL))


def test_everything_the_contract_names_is_accepted() -> None:
    taken = read(
        method="post",
        headers={"X-One": "1"},
        body="a=b",
        meta={"id": 7},
        callback={"type": "webhook", "url": "https://user:pass@example.com/hook"},
        expectUnsuccessReport="true",
        timeoutSec=30,
        scraper_sdk="python",
        apiParams={
            "keep_headers": True,
            "follow_redirect": "false",
            "retry_404": "true",
            "binary_target": False,
            "device_type": "mobile",
            "output_format": "markdown",
            "max_cost": 5,
            "render": "false",
            "premium": None,
            "scraper_sdk": "node",
        },
    )
    assert taken == RunRequest(
        FetchRequest(
            *(URL, "POST", {"x-one": "1"}, "a=b"),
            keep_headers=True,
            follow_redirect=False,
            retry_404=True,
            device_type="mobile",
            output_format="markdown",
        ),
        30.0,
        "https://user:pass@example.com/hook",
        report_failure=True,
        meta={"id": 7},
    )


def test_both_spellings_of_the_report() -> None:
    assert read(expectUnsuccessReport=True).report_failure
    assert read(expectsUnsuccessReport=True).report_failure


def test_null_asks_for_nothing() -> None:
    names = ("method", "headers", "body", "meta", "callback", "timeoutSec", "apiParams", "expectUnsuccessReport")
    assert read(**dict.fromkeys(names)) == RunRequest(FetchRequest(URL))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": None}, "url: None: must be an http"),
        ({"url": ""}, "url: ''"),
        ({"url": "example.com"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://a:port/"}, "url"),
        ({"url": "http://[::1/"}, "url"),
        ({"url": "http://exa mple.com/"}, "spaces"),
        ({"url": "http://example.com/\n"}, "line breaks"),
        ({"url": "http://example.com/\ud800"}, "url"),
        ({"url": "http://example.com/" + "x" * 20_000}, "longer than"),
        ({"url": "http://127.0.0.1/"}, "private"),
        ({"url": "http://localhost:8080/"}, "private"),
        ({"url": "http://2130706433/"}, "private"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "private"),
        ({"urls": [URL]}, "urls"),
        ({"colour": "red"}, "colour: 'red': unknown field"),
        ({"method": "CONNECT"}, "method: 'CONNECT': must be one of GET"),
        ({"method": 1}, "method"),
        ({"method": ""}, "method: '': must be one of GET"),
        ({"headers": ["a"]}, "headers"),
        ({"headers": {"a b": "c"}}, "not a header's name"),
        ({"headers": {"a": "b\r\nc: d"}}, "headers.a"),
        ({"headers": {"a": 1}}, "headers.a: 1: must be a string"),
        ({"body": {"a": 1}}, "body"),
        ({"body": "\ud800"}, "body"),
        ({"meta": "text"}, "meta"),
        ({"meta": {"a": float("inf")}}, "NaN"),
        ({"meta": json.loads('{"a":' * 101 + "1" + "}" * 101)}, "meta: an object nested more than 100 deep"),
        ({"timeoutSec": 0}, "timeoutSec"),
        ({"timeoutSec": True}, "timeoutSec"),
        ({"timeoutSec": "30"}, "timeoutSec"),
        ({"timeoutSec": 90_000}, "timeoutSec"),
        ({"callback": "http://example.com/"}, "callback"),
        ({"callback": {"type": "email", "url": URL}}, "callback"),
        ({"callback": {"type": "webhook", "url": "http://10.0.0.1/"}}, "callback.url"),
        ({"callback": {"type": "webhook", "url": URL, "secret": "s"}}, "callback"),
        ({"expectUnsuccessReport": "yes"}, "expectUnsuccessReport"),
        ({"apiParams": []}, "apiParams"),
        ({"apiParams": {"render": True}}, "apiParams.render: True: not supported by this self-hosted service yet"),
        ({"apiParams": {"country_code": "us"}}, "not supported"),
        ({"apiParams": {"session_number": 0}}, "not supported"),
        ({"apiParams": {"max_cost": 0}}, "at least 1"),
        ({"apiParams": {"frobnicate": 1}}, "apiParams.frobnicate: 1: unknown parameter"),
        ({"apiParams": {"keep_headers": 1}}, "apiParams.keep_headers"),
        ({"apiParams": {"device_type": "watch"}}, "desktop, mobile"),
        ({"apiParams": {"output_format": "csv"}}, "text, markdown"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_field_value_and_rule(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(**fields)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "callback",
    [
        "http://me:pass-word@example.com/",
        {"type": "email", "url": "http://me:pass-word@example.com/"},
        *(
            {"type": "webhook", "url": url}
            for url in ("http://me:pass-word@10.0.0.1/", "http://me:pass-word/", "ftp://me:pass-word@h/")
        ),
    ],
)
def test_a_callback_is_not_quoted_because_it_may_carry_a_password(callback: Any) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(callback=callback)
    assert str(refused.value).startswith("callback")
    assert "pass-word" not in str(refused.value)


def test_a_batch_keeps_its_order_and_shares_the_rest() -> None:
    urls = [f"{URL}{n}" for n in range(5)]
    taken = read_batch({"apiKey": "k", "urls": urls, "meta": {"a": 1}}, private=False)
    assert [one.page.url for one in taken] == urls
    assert all(one.meta == {"a": 1} for one in taken)


@pytest.mark.parametrize("urls", [None, [], "http://example.com/", [URL] * 50_001])
def test_a_batch_is_a_list_of_1_to_50000(urls: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^urls"):
        read_batch({"apiKey": "k", "urls": urls}, private=False)


def test_the_wrong_entry_of_a_batch_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"^urls\[2\]: 'nope'"):
        read_batch({"urls": [URL, URL, "nope"]}, private=False)
    with pytest.raises(InvalidArgument, match=r"^url:"):
        read_batch({"url": URL}, private=False)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_any_value_in_any_field_is_accepted_or_refused_with_a_reason(value: Any) -> None:
    for field in (
        "url",
        "method",
        "headers",
        "body",
        "meta",
        "callback",
        "timeoutSec",
        "apiParams",
        "expectUnsuccessReport",
    ):
        with contextlib.suppress(InvalidArgument):
            read(**{field: value})


def test_a_lone_surrogate_is_accepted_in_meta() -> None:
    assert read(**json.loads(r'{"meta": {"a": "\ud800"}}')).meta == {"a": "\ud800"}


def test_the_words_of_the_dial_leave_the_header_for_the_request() -> None:
    given = read(headers={"X-Longhaul-Fault": "get500-1", "Accept": "x"})
    assert with_faults(given) == replace(given, page=replace(given.page, headers={"accept": "x"}), faults="get500-1")
    plain = read(headers={"accept": "x"})
    assert with_faults(plain) is plain


def test_the_dial_can_switch_a_webhook_off() -> None:
    callback = {"type": "webhook", "url": "http://example.com/hook"}
    assert with_faults(read(url="http://ok.fault.invalid/", callback=callback)).callback == callback["url"]
    assert with_faults(read(url="http://nowebhook.fault.invalid/", callback=callback)).callback is None
