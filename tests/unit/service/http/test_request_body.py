from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from longhaul.errors import InvalidArgument
from service.http.request_body import authorize, is_one_of, key_of, read_json

VENDORS_EXAMPLE = b"""{
  "api_key": "<YOUR API KEY>",
  "start_url": "https://www.zillow.com/homes/44269_rid/",
  "max_depth": 5, // Free plan supports max_depth = 1 only.
  "crawl_budget": 50,
  "url_regexp_include": ".*", //Use .* to crawl all pages on the site.
  "url_regexp_exclude": ".*/product/.*", //Optional parameter. Leave empty to include all pages on the site.
  "api_params": {
    "country_code": "us"
  },
  "callback": {
    "type": "webhook",
    "url": "<YOUR CALLBACK WEBHOOK URL>"
  },
  "enabled": true,
  "schedule": {
    "name": "NAME_OF_CRAWLER", // Name of the crawler.
    "interval": "weekly" //once, hourly, daily, weekly, monthly. Scheduling is available on paid plans only.
  }
}"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b'{"url": "http://example.com/" // the page\n}', "JSON knows no comments"),
        (b'{/* hello */ "url": 1}', "JSON knows no comments"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
    ],
)
def test_what_is_not_a_json_object_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        read_json(body)


def test_a_url_in_broken_json_is_not_a_comment() -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_json(b'{"url": "http://example.com/"')
    assert "comments" not in str(refused.value)


def test_the_vendors_example_pasted_is_refused_for_its_comments() -> None:
    with pytest.raises(InvalidArgument, match="JSON knows no comments"):
        read_json(VENDORS_EXAMPLE)


def test_both_spellings_of_the_key() -> None:
    assert key_of({"api_key": "a"}) == key_of({"apiKey": "a"}) == "a"
    assert key_of({"apiKey": ""}) is None
    assert key_of({"apiKey": 1}) is None


def test_a_key_is_compared_as_a_whole() -> None:
    assert is_one_of(("one", "zwei"), "zwei")
    assert not is_one_of(("one", "zwei"), "zwe")
    assert not is_one_of((), "")


@pytest.mark.parametrize(("key", "required"), [("other", True), ("other", False), (None, True)])
def test_an_unknown_key_and_a_missing_one_are_a_401(key: str | None, required: bool) -> None:
    with pytest.raises(HTTPException) as refused:
        authorize(["one"], key, required=required)
    assert refused.value.status_code == 401


def test_a_known_key_passes_and_any_where_none_are_set() -> None:
    authorize(["one"], "one", required=True)
    authorize(["one"], None, required=False)
    authorize([], None, required=True)
    authorize([], "other", required=True)
