"""Crawls of a site that is not ours through every part: the service, its webhooks, the receiver, the results queue."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
import requests
from celery.result import AsyncResult

from longhaul.crawls.store import CrawlStore
from longhaul.ledger.results import stream
from longhaul.work.balance import balance
from service.faults.crawl_faults import site_for
from tests.builders import crawl_limits
from tests.conftest import free_port
from tests.installation import QUEUE, Installation, installed, until
from workers.local.embedded_server import serving

# Modules that import without side effects and whose pages pydoc makes quickly: those of email and urllib take seconds.
MODULES = "json|logging|xml|sqlite3|concurrent|collections|importlib|unittest|html|wsgiref|multiprocessing"
INCLUDE = rf"/(({MODULES})(\.[a-z_.]+)?\.html)?$"


@contextmanager
def documentation() -> Iterator[str]:
    """The standard library's documentation server."""
    command = [sys.executable, "-I", "-S", "-m", "pydoc", "-n", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


def walk(start: str, include: str, depth: int) -> dict[str, int]:
    """URL and depth of each page, breadth first; independent of the code under test."""
    seen, level = {start: 0}, [start]
    for at in range(1, depth + 1):
        found: list[str] = []
        for address in level:
            links = re.findall(r'href="([^"]*)"', requests.get(address, timeout=20).text)
            found += [urldefrag(urljoin(address, link)).url for link in links]
        level = [
            link
            for link in dict.fromkeys(found)
            if link not in seen and urlsplit(link).netloc == urlsplit(start).netloc and re.search(include, link)
        ]
        seen |= dict.fromkeys(level, at)
    return seen


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with documentation() as base:
        yield base


@pytest.fixture(scope="module")
def crawling() -> Iterator[Installation]:
    with serving(free_port()) as redis_url, installed(redis_url, leave_out=("flower",)) as installation:
        yield installation


def create(installation: Installation, **arguments: Any) -> AsyncResult[Any]:
    return installation.client.send_task("crawls.create", kwargs={"queue": QUEUE, **arguments})


def pages(installation: Installation, crawl_id: str) -> list[dict[str, Any]]:
    installation.read()
    return [
        one
        for several in installation.envelopes.values()
        for one in several
        if one["kind"] == "page" and one["crawlId"] == crawl_id
    ]


def store(installation: Installation) -> CrawlStore:
    return CrawlStore(installation.redis, crawl_limits())


def assert_complete(installation: Installation, crawl_id: str, site: str) -> None:
    end = installation.envelope(crawl_id, seconds=120)
    wanted = walk(site, INCLUDE, 2)
    assert sorted(page["url"] for page in pages(installation, crawl_id)) == sorted(wanted)
    assert (end["status"], end["received"], end["missing"]) == ("finished", len(wanted), 0)


def test_every_page_of_a_real_site_arrives_once(crawling: Installation, site: str) -> None:
    crawl = create(crawling, start_url=site, max_depth=2, url_regexp_include=INCLUDE, meta={"n": 1})
    end = crawling.envelope(crawl.id, seconds=120)
    wanted = walk(site, INCLUDE, 2)
    assert len(wanted) > 60
    arrived = pages(crawling, crawl.id)
    assert {page["url"]: page["depth"] for page in arrived} == wanted
    assert len(arrived) == len(wanted)
    assert (end["status"], end["received"], end["missing"], end["done"] + end["failed"]) == (
        "finished",
        len(wanted),
        0,
        len(wanted),
    )
    assert all("<title>" in page["body"] for page in arrived if page["statusCode"] == 200)
    assert {page["status"] for page in arrived} == {"finished"}
    # The id of the task is the id of the crawl, and its result is the end of the crawl.
    assert crawl.get(timeout=10)["received"] == len(wanted)
    assert balance(store(crawling).books()).faults == []


def test_the_receiver_may_be_killed_during_a_crawl(crawling: Installation, site: str) -> None:
    crawl = create(crawling, start_url=site, max_depth=2, url_regexp_include=INCLUDE)
    until(lambda: len(pages(crawling, crawl.id)) >= 10, "some pages")
    crawling.stop("webhook", by=signal.SIGKILL)
    assert_complete(crawling, crawl.id, site)


def test_workers_and_the_fetcher_may_be_killed_during_a_crawl(crawling: Installation, site: str) -> None:
    crawl = create(crawling, start_url=site, max_depth=2, url_regexp_include=INCLUDE)
    until(lambda: store(crawling).get(crawl.id), "the record")
    crawling.stop("worker1", "worker2", by=signal.SIGKILL)
    until(lambda: len(pages(crawling, crawl.id)) >= 5, "some pages")
    crawling.stop("fetcher", "worker1", by=signal.SIGKILL)
    assert_complete(crawling, crawl.id, site)


def test_with_any_fault_of_the_events_each_page_arrives_once_or_is_reported_as_missing(
    crawling: Installation,
) -> None:
    # All at the same time, because each of them waits for something.
    faults = (
        "ok",
        "lose-7",
        "duplicate",
        "shuffle-2",
        "late-1",
        "nosummary",
        "summaryfirst",
        "stuck",
        "push500-1",
        "slowpush-1",
        "get500",
        "post503-1",
    )
    sites = {word: f"http://{word}.site-30.fault.invalid/" for word in faults}
    ids = {word: create(crawling, start_url=site, max_depth=5).id for word, site in sites.items()}
    for word, site in sites.items():
        end = crawling.envelope(ids[word], seconds=60)
        wanted = site_for(site)
        arrived = pages(crawling, ids[word])
        lost = 4 if word == "lose-7" else 0
        assert len(arrived) == len({page["url"] for page in arrived}) == 30 - lost, word
        assert {page["url"]: page["depth"] for page in arrived}.items() <= wanted.items(), word
        assert (end["status"], end["received"], end["missing"]) == ("finished", 30 - lost, lost), word
        assert end.get("note") == ("no summary came" if word == "nosummary" else None), word


def test_a_cancelled_crawl_stops_at_the_remote(crawling: Installation) -> None:
    crawl = create(crawling, start_url="http://site-5000.fault.invalid/", max_depth=50)
    until(lambda: pages(crawling, crawl.id), "a page")
    answer = crawling.client.send_task("crawls.cancel", kwargs={"crawl_id": crawl.id}).get(timeout=30)
    assert answer["status"] in {"cancelled", "running"}
    end = crawling.envelope(crawl.id)
    assert end["status"] == "cancelled"
    arrived = len(pages(crawling, crawl.id))
    assert end["received"] == arrived < 5000
    progress = requests.get(f"{crawling.local.service_url}/job/{end['remoteId']}", timeout=10).json()
    assert progress["status"] in {"cancelled", "in delivery", "delivered"}
    assert crawling.redis.xlen(stream(QUEUE)) == 0


def test_a_wrong_argument_fails_the_task_and_says_why(crawling: Installation) -> None:
    with pytest.raises(Exception, match="max_depth, crawl_budget: are both missing"):
        create(crawling, start_url="http://x.invalid/").get(timeout=30)


def test_what_only_the_remote_can_judge_fails_the_crawl_with_its_words(crawling: Installation) -> None:
    crawl = create(crawling, start_url="http://site-3.fault.invalid/", max_depth=1, url_regexp_include="(?!no)")
    end = crawling.envelope(crawl.id)
    assert (end["status"], end["submissions"]) == ("failed", 0)
    assert "look-ahead" in end["failReason"]
