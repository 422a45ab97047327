"""Real HTTP against a server that remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.fetching.egress import connector
from service.fetching.fetch import Fetcher, FetchLimits
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import Answered, FetchOutcome, Hopeless, Trouble
from tests.conftest import free_port
from tests.service_target import PAGE, Target, serve


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with serve() as one:
        yield one


def fetch(
    *requests: FetchRequest, private: bool = True, timeout: float = 5, limit: int = 100_000
) -> list[FetchOutcome]:
    async def run() -> list[FetchOutcome]:
        async with connector(private=private) as connections:
            with Fetcher(connections, limit=limit) as fetcher:
                return [await fetcher.fetch(one, timeout) for one in requests]

    return asyncio.run(run())


def answer(target: Target, path: str, **options: Any) -> dict[str, Any]:
    [outcome] = fetch(FetchRequest(target.base + path, **options))
    assert isinstance(outcome, Answered), outcome
    return dict(json.loads(outcome.response))


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_compressed_pages_are_read(target: Target, encoding: str) -> None:
    assert answer(target, f"/packed/{encoding}")["body"] == PAGE
    assert encoding in target.at(f"/packed/{encoding}")[-1].headers["accept-encoding"]


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252", "utf-16", "none"])
def test_charsets_are_read(target: Target, charset: str) -> None:
    assert answer(target, f"/charset/{charset}")["body"] == PAGE


def test_redirects_are_followed_with_their_cookies_which_the_next_run_does_not_see(target: Target) -> None:
    end = answer(target, "/redirect/2")
    assert end["headers"]["sa-final-url"] == f"{target.base}/page"
    assert target.at("/page")[-1].headers["cookie"] == "hop=1"
    fetch(FetchRequest(f"{target.base}/redirect/2"), FetchRequest(f"{target.base}/page"))
    assert "cookie" not in target.at("/page")[-1].headers


def test_redirects_are_returned_where_the_client_wants_them(target: Target) -> None:
    end = answer(target, "/redirect/0", follow_redirect=False)
    assert (end["statusCode"], end["headers"]["location"]) == (302, "/page")


def test_redirects_that_lead_nowhere_are_hopeless(target: Target) -> None:
    loop, scheme = fetch(FetchRequest(f"{target.base}/loop"), FetchRequest(f"{target.base}/to?url=ftp://example.com/"))
    assert loop == Hopeless("too many redirects")
    assert isinstance(scheme, Hopeless)


def test_without_keep_headers_only_the_clients_content_type_is_sent(target: Target) -> None:
    theirs = {
        "x-mine": "1",
        "user-agent": "me",
        "content-type": "application/json",
        "host": "elsewhere",
        "accept-encoding": "x",
    }
    answer(target, "/status/201", method="POST", headers=theirs, body='{"ü": 1}')
    asked = target.at("/status/201")[-1]
    assert (asked.method, asked.body.decode()) == ("POST", '{"ü": 1}')
    assert asked.headers["content-type"] == "application/json"
    assert "x-mine" not in asked.headers
    assert "Mozilla" in asked.headers["user-agent"]
    answer(target, "/status/202", headers=theirs, keep_headers=True)
    asked = target.at("/status/202")[-1]
    assert (asked.headers["x-mine"], asked.headers["user-agent"]) == ("1", "me")
    assert asked.headers["host"] != "elsewhere"
    assert "gzip" in asked.headers["accept-encoding"]


def test_a_mobile_device_says_so(target: Target) -> None:
    answer(target, "/status/203", device_type="mobile")
    assert "Mobile" in target.at("/status/203")[-1].headers["user-agent"]


def test_formats_and_binaries(target: Target) -> None:
    assert answer(target, "/page", output_format="text")["body"] == "Grüße\nOne two"
    assert answer(target, "/page", output_format="markdown")["body"] == "# Grüße\n\nOne **two**"
    assert "base64EncodedBody" in answer(target, "/image")
    assert "base64EncodedBody" in answer(target, "/page", binary_target=True)


@pytest.mark.parametrize("status", [204, 403, 404, 429, 500])
def test_every_status_is_an_answer(target: Target, status: int) -> None:
    end = answer(target, f"/status/{status}")
    assert (end["statusCode"], end["headers"]["sa-statuscode"]) == (status, str(status))


def test_an_impossible_date_is_ignored(target: Target) -> None:
    asked, plain = fetch(FetchRequest(f"{target.base}/dated/7"), FetchRequest(f"{target.base}/dated/"))
    assert isinstance(asked, Answered)
    assert isinstance(plain, Answered)
    assert (asked.retry_after, plain.retry_after) == (7, None)


def test_a_body_beyond_the_limit_is_not_read_to_its_end(target: Target) -> None:
    within, beyond = fetch(
        FetchRequest(f"{target.base}/bytes/1000"), FetchRequest(f"{target.base}/bytes/1001"), limit=1000
    )
    assert isinstance(within, Answered)
    assert beyond == Hopeless("the body is longer than 1000 bytes")


def test_an_attempt_ends_with_its_pages_time_but_has_a_second_at_least() -> None:
    limits = FetchLimits(attempt_seconds=30, body_bytes=1, private=True)
    assert [limits.timeout_seconds(left) for left in (-5, 0.5, 7, 99)] == [1, 1, 7, 30]


def test_connection_trouble_is_trouble(target: Target) -> None:
    refused, reset = fetch(FetchRequest(f"http://127.0.0.1:{free_port()}/"), FetchRequest(f"{target.base}/reset"))
    [slow] = fetch(FetchRequest(f"{target.base}/slow/3"), timeout=0.2)
    assert isinstance(refused, Trouble)
    assert isinstance(reset, Trouble)
    assert isinstance(slow, Trouble)


def test_private_addresses_are_refused_where_the_connection_is_made(target: Target) -> None:
    named = FetchRequest(target.base.replace("127.0.0.1", "localhost") + "/never-asked")
    written = FetchRequest(f"{target.base}/never-asked")
    for outcome in fetch(named, written, private=False):
        assert outcome == Hopeless("the target is a private or loopback address")
    assert not target.at("/never-asked")


@pytest.mark.parametrize("url", ["http://xn--a.example/", "http://" + "a" * 70 + ".invalid/", "http://a..b/"])
def test_odd_hosts_raise_nothing(url: str) -> None:
    [outcome] = fetch(FetchRequest(url))
    assert isinstance(outcome, Trouble | Hopeless)


def test_a_page_that_breaks_its_converter_fails_alone(target: Target) -> None:
    nested, fine = fetch(
        FetchRequest(f"{target.base}/nested", output_format="markdown"), FetchRequest(f"{target.base}/page")
    )
    assert isinstance(nested, Hopeless)
    assert "cannot be converted" in nested.reason
    assert isinstance(fine, Answered)
