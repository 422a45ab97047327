"""Crawls as a client meets them: web process, Celery worker and Redis server, a real site, a real receiver, real
waiting.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from longhaul.ledger.connection import connect
from service.crawls.store import SPACE
from service.faults.crawl_faults import site_for
from tests.conftest import free_port
from tests.service_process import Service, eventually, service
from tests.service_site import DEPTHS, FAILED, UNCHARGED
from tests.service_target import Target, serve

SHORT = {"http_timeout": "2", "batch_timeout": "3", "lease": "4"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "service_faults": "1",
        "service_page_retry_for": "2",
        "service_max_body_bytes": "200000",
        "crawl_max_depth": "9",
    }
    with service(tmp_path_factory.mktemp("service"), **settings) as one:
        yield one


@pytest.fixture
def target() -> Iterator[Target]:
    with serve() as one:
        yield one


class Hook:
    """What a crawl delivers to one path of the target."""

    def __init__(self, target: Target, path: str = "/hook") -> None:
        self._target, self._path = target, path
        self.callback = {"type": "webhook", "url": target.base + path}

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self._target.at(self._path)]

    @property
    def pages(self) -> list[dict[str, Any]]:
        return [document for document in self.documents if "jobState" not in document]

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [document for document in self.documents if "jobState" in document]


@pytest.fixture
def hook(target: Target) -> Hook:
    return Hook(target)


def test_a_site_full_of_traps_is_crawled_to_its_last_page(running: Service, target: Target, hook: Hook) -> None:
    root = f"{target.base}/site/"
    crawl = running.crawl(root, callback=hook.callback, crawl_budget=500)
    end = running.delivered(crawl)
    assert {page["url"].removeprefix(root): page["currentDepth"] for page in hook.pages} == DEPTHS
    assert len(hook.pages) == len(DEPTHS)
    failed = {page["url"].removeprefix(root): page["failReason"] for page in hook.pages if page["status"] == "failed"}
    assert failed.keys() == FAILED.keys()
    assert all(reason.startswith(FAILED[path]) for path, reason in failed.items()), failed
    pages = {page["url"].removeprefix(root): page for page in hook.pages}
    assert {page["jobId"] for page in hook.pages} == {crawl}
    assert {page["startUrl"] for page in hook.pages} == {root}
    assert {path for path, page in pages.items() if page["credits"] == 0} == UNCHARGED
    assert pages["gone"]["response"]["statusCode"] == 404
    assert pages["hop"]["response"]["headers"]["sa-final-url"] == f"{root}deep"
    assert (pages["busy"]["attempts"], pages["busy"]["response"]["statusCode"]) == (2, 200)
    assert "base64EncodedBody" in pages["image"]["response"]
    assert "кириллица" in pages["charset"]["response"]["body"]
    assert pages["broken"]["attempts"] >= 2
    assert max(page["currentCost"] for page in hook.pages) == len(DEPTHS) - len(UNCHARGED)
    [summary] = hook.summaries
    assert hook.documents[-1] == summary
    assert (summary["jobId"], summary["jobState"], summary["crawlBudget"], summary["cancelled"]) == (
        crawl,
        "finished",
        500,
        [],
    )
    assert {entry["url"].removeprefix(root): entry["cost"] for entry in summary["completed"]} == dict.fromkeys(
        DEPTHS.keys() - FAILED.keys(), 1
    )
    assert {entry["url"].removeprefix(root): entry["failReason"] for entry in summary["failed"]} == failed
    assert summary["jobCost"] == len(summary["completed"])
    figures = {
        "done": len(summary["completed"]),
        "failed": 3,
        "active": 0,
        "jobCost": summary["jobCost"],
        "crawlBudget": 500,
    }
    assert end == {"crawler_job_id": crawl, "jobId": crawl, "status": "delivered", **figures}
    assert not [asked for asked in target.asked if asked.path.endswith(("off", "from-huge", "from-image", "style.css"))]


def test_the_same_crawl_twice_gives_the_same_set_and_a_limit_cuts_it(running: Service, target: Target) -> None:
    root = f"{target.base}/tree/120/0.001/"
    hooks = [Hook(target, f"/hook/{number}") for number in range(4)]
    limits: list[dict[str, Any]] = [{}, {}, {"max_depth": 2}, {"crawl_budget": 17}]
    crawls = [running.crawl(root, callback=hook.callback, **limit) for hook, limit in zip(hooks, limits, strict=True)]
    for crawl in crawls:
        running.delivered(crawl)
    sets = [{(page["url"].removeprefix(root), page["currentDepth"]) for page in hook.pages} for hook in hooks]
    assert sets[0] == sets[1]
    assert {int(number or 0) for number, _ in sets[0]} == set(range(120))
    assert sets[2] == {(number, depth) for number, depth in sets[0] if depth <= 2}
    assert [len(hook.pages) for hook in hooks] == [120, 120, 1 + 4 + 16, 17]
    [cut] = hooks[3].summaries
    assert (cut["jobCost"], cut["jobState"], len(cut["completed"])) == (17, "finished", 17)
    assert {entry["url"] for entry in cut["cancelled"]}.isdisjoint(entry["url"] for entry in cut["completed"])


def test_expressions_say_which_links_are_crawled(running: Service, target: Target, hook: Hook) -> None:
    root = f"{target.base}/tree/120/0/"
    crawl = running.crawl(
        root,
        callback=hook.callback,
        url_regexp_include=r"/[0-9]$",
        url_regexp_exclude="/[3-9]$",
        api_params={"output_format": "text"},
    )
    running.delivered(crawl)
    assert sorted(page["url"].removeprefix(root) for page in hook.pages) == ["", "1", "2"]
    assert all("<" not in page["response"]["body"] for page in hook.pages)


def test_a_worker_that_dies_in_the_middle_loses_no_page(
    tmp_path_factory: pytest.TempPathFactory, target: Target, hook: Hook
) -> None:
    root = f"{target.base}/tree/100/0.02/"
    with service(tmp_path_factory.mktemp("service"), **SHORT) as one:
        crawl = one.crawl(root, callback=hook.callback)
        eventually(lambda: one.progress(crawl)["done"] >= 30)
        one.stop("worker", 9)
        halfway = one.progress(crawl)
        assert halfway["active"] > 0
        one.start_worker()
        end = one.delivered(crawl, within=60)
    assert (end["done"], end["failed"], end["jobCost"]) == (100, 0, 100)
    assert {int(page["url"].removeprefix(root) or 0) for page in hook.pages} == set(range(100))
    documents = {page["url"]: page["currentCost"] for page in hook.pages}
    assert len({(page["url"], page["currentCost"]) for page in hook.pages}) == len(
        documents
    )  # delivered again, an event is the same
    assert len({json.dumps(summary, sort_keys=True) for summary in hook.summaries}) == 1


def test_cancelling_ends_it_at_once_and_delivers_what_there_is(running: Service, target: Target, hook: Hook) -> None:
    root = f"{target.base}/tree/400/0.1/"
    crawl = running.crawl(root, callback=hook.callback)
    eventually(lambda: running.progress(crawl)["done"] >= 10)
    answers = [requests.delete(f"{running.base}/job/{crawl}", timeout=5) for _ in range(2)]
    asked = len(target.asked)
    assert [answer.json() for answer in answers] == [
        {"status": "OK", "message": f"Job ID: {crawl} has been cancelled"}
    ] * 2
    end = running.delivered(crawl)
    [summary] = hook.summaries
    assert (summary["jobState"], summary["failed"], end["active"]) == ("cancelled", [], 0)
    assert len(summary["completed"]) == len(hook.pages) == end["done"] == summary["jobCost"]
    assert len(summary["cancelled"]) > 0
    assert {entry["url"] for entry in summary["cancelled"]}.isdisjoint(page["url"] for page in hook.pages)
    # What a round was fetching already is still answered; nothing new is fetched.
    pages = [one for one in target.asked[asked:] if one.path.startswith("/tree")]
    assert len(pages) <= 8
    assert requests.delete(f"{running.base}/job/{crawl}", timeout=5).json() == answers[0].json()


def test_a_receiver_that_is_not_there_does_not_stop_a_crawl(running: Service, target: Target) -> None:
    callback = {"type": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}
    crawl = running.crawl(f"{target.base}/tree/50/0/", callback=callback)
    end = eventually(lambda: found if (found := running.progress(crawl))["status"] == "in delivery" else None)
    assert (end["done"], end["active"]) == (50, 0)


def test_refused_events_are_tried_again_before_the_summary(running: Service, hook: Hook) -> None:
    began = time.monotonic()
    start = "http://site-5.push500-1.fault.invalid/"
    running.delivered(running.crawl(start, callback=hook.callback))
    assert {page["url"] for page in hook.pages} == site_for(start).keys()
    assert time.monotonic() - began >= 3 + 3
    assert hook.documents[-1] == hook.summaries[0]


def test_a_crawl_of_nothing_has_failed(running: Service, hook: Hook) -> None:
    crawl = running.crawl("http://nobody.invalid/", callback=hook.callback)
    end = running.delivered(crawl)
    assert (end["done"], end["failed"], end["jobCost"]) == (0, 1, 0)
    [page], [summary] = hook.pages, hook.summaries
    assert (page["status"], summary["jobState"]) == ("failed", "failed")
    assert summary["failed"] == [{"url": "http://nobody.invalid/", "failReason": page["failReason"]}]
    assert page["failReason"].endswith("attempts)")


def test_without_a_callback_the_status_says_it_all(running: Service) -> None:
    crawl = running.crawl("http://site-30.fault.invalid/")
    assert running.delivered(crawl)["done"] == 30
    whole = requests.get(f"{running.base}/job/{crawl}", timeout=5).json()
    assert (whole["start_url"], whole["url_regexp_include"], whole["outcome"]) == (
        "http://site-30.fault.invalid/",
        ".*",
        "completed",
    )


def test_a_recurring_crawl_runs_again(running: Service, hook: Hook) -> None:
    crawl = running.crawl(
        "http://site-3.fault.invalid/", callback=hook.callback, schedule={"name": "n", "interval": "hourly"}
    )
    running.delivered(crawl)
    with connect(running.redis_url) as redis:  # as if an hour had passed
        redis.zadd(f"{SPACE}:due:schedule", {crawl: 0})
    eventually(lambda: len(hook.summaries) == 2)
    assert [summary["run"] for summary in hook.summaries] == [1, 2]
    assert Counter(page["run"] for page in hook.pages) == {1: 3, 2: 3}
    assert requests.delete(f"{running.base}/job/{crawl}", timeout=5).ok
    assert "nextRunAt" not in requests.get(f"{running.base}/job/{crawl}", timeout=5).json()


def test_one_that_is_not_enabled_waits(running: Service, hook: Hook) -> None:
    crawl = running.crawl("http://site-3.fault.invalid/", callback=hook.callback, enabled=False)
    other = running.crawl("http://site-3.fault.invalid/")
    running.delivered(other)
    assert (running.progress(crawl)["status"], running.progress(crawl)["active"]) == ("delayed", 0)
    assert not hook.documents


def test_the_dial_loses_doubles_and_reorders_events(running: Service, target: Target) -> None:
    hooks = {
        word: Hook(target, f"/hook/{word}")
        for word in ("lose-4", "duplicate", "nosummary", "summaryfirst", "nowebhook", "late-1")
    }
    began = time.monotonic()
    for word, one in hooks.items():
        crawl = running.crawl(f"http://site-13.{word}.fault.invalid/", callback=one.callback)
        assert running.delivered(crawl)["done"] == 13
        if word == "late-1":
            assert time.monotonic() - began >= 1
    counts = {word: (len(one.pages), len(one.summaries)) for word, one in hooks.items()}
    assert counts == {
        "lose-4": (10, 1),
        "duplicate": (26, 2),
        "nosummary": (13, 0),
        "summaryfirst": (13, 1),
        "nowebhook": (0, 0),
        "late-1": (13, 1),
    }
    assert hooks["summaryfirst"].documents[0] == hooks["summaryfirst"].summaries[0]


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


def test_the_dial_works_on_a_real_site_by_additional_data(running: Service, target: Target, hook: Hook) -> None:
    data = {"x-longhaul-fault": "lose-2", "mine": 1}
    running.delivered(running.crawl(f"{target.base}/tree/10/0/", callback=hook.callback, additional_data=data))
    assert len(hook.pages) == 5
    assert hook.summaries[0]["additional_data"] == data


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
