"""Calls that the service refuses, each with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.service_process import Service, eventually, service

EXAMPLE = b"""{
  "api_key": "<YOUR API KEY>",
  "start_url": "https://www.zillow.com/homes/44269_rid/",
  "max_depth": 5, // Free plan supports max_depth = 1 only.
  "crawl_budget": 50,
  "url_regexp_include": ".*" //Use .* to crawl all pages on the site.
}"""


def test_refusals_are_json_with_a_reason(running: Service) -> None:
    good = {"api_key": "k", "start_url": "http://example.com/", "max_depth": 1, "url_regexp_include": ".*"}
    for body, words in (
        (EXAMPLE, "JSON knows no comments"),
        (json.dumps(good | {"max_depth": None}).encode(), "max_depth, crawl_budget"),
        (json.dumps(good | {"url_regexp_include": "(?<=x)y"}).encode(), "url_regexp_include"),
        (json.dumps(good | {"max_depth": 10}).encode(), "must be a whole number from 0 to 9"),
    ):
        answer = requests.post(f"{running.base}/job", data=body, timeout=5)
        assert (answer.status_code, answer.json()["status"]) == (400, "error")
        assert words in answer.json()["error"]
    for method, path in (("GET", "/job/nobody"), ("GET", "/job/nobody/status"), ("DELETE", "/job/nobody")):
        answer = requests.request(method, running.base + path, timeout=5)
        assert (answer.status_code, answer.json()["status"]) == (404, "error")
    assert {"/job", "/job/{crawl_id}", "/job/{crawl_id}/status"} <= requests.get(
        f"{running.base}/openapi.json", timeout=5
    ).json()["paths"].keys()


def test_plans_and_keys(tmp_path_factory: pytest.TempPathFactory) -> None:
    with service(
        tmp_path_factory.mktemp("service"),
        service_api_keys='["paid"]',
        service_free_keys='["free"]',
        service_faults="1",
    ) as one:

        def post(key: str, **more: Any) -> requests.Response:
            body = {
                "api_key": key,
                "start_url": "http://ok.fault.invalid/",
                "url_regexp_include": ".*",
                "max_depth": 1,
                **more,
            }
            return requests.post(f"{one.base}/job", json=body, timeout=5)

        assert [post(key).status_code for key in ("paid", "free", "neither", "")] == [200, 200, 401, 401]
        for forbidden in (
            {"max_depth": 2},
            {"max_depth": None, "crawl_budget": 5},
            {"schedule": {"interval": "daily"}},
        ):
            answer = post("free", **forbidden)
            assert (answer.status_code, "paid plan" in answer.json()["error"]) == (403, True)
            assert post("paid", **forbidden).status_code == 200
        crawl = post("paid").json()["jobId"]
        codes = [
            requests.get(f"{one.base}/job/{crawl}/status", params=given, timeout=5).status_code
            for given in ({}, {"api_key": "free"}, {"apiKey": "x"})
        ]
        assert codes == [200, 200, 401]


def test_the_dial_refuses_calls_and_is_stuck(running: Service) -> None:
    start = "http://site-2.post503-1.get500-1.delete403-1.stuck.fault.invalid/"
    body = {"api_key": "k", "start_url": start, "max_depth": 1, "url_regexp_include": ".*"}
    assert requests.post(f"{running.base}/job", json=body, timeout=5).status_code == 503
    crawl = running.crawl(start)
    codes = [requests.get(f"{running.base}/job/{crawl}/status", timeout=5).status_code for _ in range(2)]
    assert codes == [500, 200]
    eventually(lambda: running.progress(crawl)["done"] == 2)
    assert (running.progress(crawl)["status"], running.progress(crawl)["active"]) == ("running", 1)
    assert [requests.delete(f"{running.base}/job/{crawl}", timeout=5).status_code for _ in range(2)] == [403, 200]
