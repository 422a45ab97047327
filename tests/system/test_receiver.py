"""The webhook receiver: only the remote may deliver, and gets 2xx only after the event is in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from longhaul.crawls.store import CrawlStore
from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobStore
from longhaul.work.callbacks import USER, Callbacks
from longhaul.work.item import State
from tests.builders import crawl_limits, job_limits
from tests.conftest import free_port
from tests.flow.crawler import events, page
from tests.installation import QUEUE, Installation, installed, until
from workers.local.embedded_server import serving


@pytest.fixture(scope="module")
def asleep() -> Iterator[Installation]:
    """An installation in which only the receiver moves a job: no beat, and a remote that delivers nothing by itself."""
    with serving(free_port()) as redis_url, installed(redis_url, leave_out=("flower", "beat")) as installation:
        yield installation


@pytest.fixture
def waiting(asleep: Installation) -> Iterator[tuple[str, str, str]]:
    """A queued job, the address at which its result may be delivered, and the password."""
    job_id = asleep.submit("http://never.fault.invalid/waiting")
    until(lambda: asleep.redis.exists(f"longhaul:{{jobs}}:record:{job_id}"), "the record")
    callbacks = Callbacks(asleep.local.secret)
    url = callbacks.url(asleep.local.receiver_url, "job", job_id).replace(f"{USER}:{callbacks.password(job_id)}@", "")
    yield job_id, url, callbacks.password(job_id)
    asleep.client.send_task("jobs.cancel", kwargs={"job_id": job_id}).get(timeout=30)


def finished(body: str = "delivered") -> dict[str, object]:
    return {
        "id": "r1",
        "status": "finished",
        "url": "http://x/",
        "response": {"statusCode": 200, "headers": {}, "body": body},
    }


def test_a_delivered_result_ends_its_job_and_a_second_one_changes_nothing(
    asleep: Installation, waiting: tuple[str, str, str]
) -> None:
    job_id, url, password = waiting
    for body in ("first", "second"):
        assert requests.post(url, json=finished(body), auth=(USER, password), timeout=10).status_code == 200
    envelope = asleep.envelope(job_id)
    assert (envelope["body"], envelope.get("remoteId")) == ("first", None)


def test_a_running_status_is_accepted_and_changes_nothing(asleep: Installation, waiting: tuple[str, str, str]) -> None:
    job_id, url, password = waiting
    assert (
        requests.post(url, json={"id": "r1", "status": "running"}, auth=(USER, password), timeout=10).status_code == 200
    )
    job = JobStore(asleep.redis, job_limits()).get(job_id)
    assert job is not None
    assert job.state is State.QUEUED


@pytest.mark.parametrize("change", ["token", "job", "password", "none"])
def test_no_one_else_gets_in(asleep: Installation, waiting: tuple[str, str, str], change: str) -> None:
    job_id, url, password = waiting
    url = {"token": url[:-1] + ("0" if url[-1] != "0" else "1"), "job": url.replace(job_id, "another")}.get(change, url)
    auth = {"password": (USER, "wrong"), "none": None}.get(change, (USER, password))
    assert requests.post(url, json=finished(), auth=auth, timeout=10).status_code == 404
    job = JobStore(asleep.redis, job_limits()).get(job_id)
    assert job is not None
    assert job.state is State.QUEUED


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[1]", 400), (b" " * (5 * 1024 * 1024), 413)])
def test_what_is_no_event_is_refused(waiting: tuple[str, str, str], body: bytes, status: int) -> None:
    _, url, password = waiting
    assert requests.post(url, data=body, auth=(USER, password), timeout=10).status_code == status


def test_the_steps_of_a_job_are_asleep_here(asleep: Installation) -> None:
    # The other tests here rely on it: without beat no job is sent.
    assert all(
        lane.name.startswith((JobStep.SEND, JobStep.CANCEL))
        for lane in JobStore(asleep.redis, job_limits()).books().lanes
    )


@pytest.fixture
def crawl(asleep: Installation) -> Iterator[tuple[str, str, str]]:
    """A crawl that only its events move, their address, and its password."""
    arguments = {"start_url": "http://site-3.fault.invalid/", "max_depth": 1, "queue": QUEUE}
    crawl_id = str(asleep.client.send_task("crawls.create", kwargs=arguments).id)
    until(lambda: CrawlStore(asleep.redis, crawl_limits()).get(crawl_id), "the record")
    callbacks = Callbacks(asleep.local.secret)
    password = callbacks.password(crawl_id)
    url = callbacks.url(asleep.local.receiver_url, "crawl", crawl_id).replace(f"{USER}:{password}@", "")
    yield crawl_id, url, password
    asleep.client.send_task("crawls.cancel", kwargs={"crawl_id": crawl_id}).get(timeout=30)


def received(asleep: Installation, crawl_id: str, kind: str) -> list[dict[str, Any]]:
    asleep.read()
    return [
        one
        for several in asleep.envelopes.values()
        for one in several
        if one.get("crawlId") == crawl_id and one["kind"] == kind
    ]


def test_pages_and_the_summary_of_a_crawl_arrive_once_each(asleep: Installation, crawl: tuple[str, str, str]) -> None:
    crawl_id, url, password = crawl
    *pages, last = events("r1", "http://x/", 5)
    for event in (pages[0], pages[0], last, *pages[1:], last):
        assert requests.post(url, json=event, auth=(USER, password), timeout=10).status_code == 200
    assert sorted(page["url"] for page in received(asleep, crawl_id, "page")) == [f"http://x/{at}" for at in range(5)]
    (end,) = received(asleep, crawl_id, "crawl")
    assert (end["received"], end["missing"], end["remoteId"]) == (5, 0, "r1")


def test_many_events_at_once_are_each_taken_once(asleep: Installation, crawl: tuple[str, str, str]) -> None:
    crawl_id, url, password = crawl
    *pages, last = events("r1", "http://x/", 100)

    def deliver(event: dict[str, Any]) -> int:
        return requests.post(url, json=event, auth=(USER, password), timeout=20).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(deliver, [*pages, last, *pages])) == {200}
    assert len(received(asleep, crawl_id, "page")) == 100
    (end,) = received(asleep, crawl_id, "crawl")
    assert (end["received"], end["missing"]) == (100, 0)


def test_an_event_of_a_crawl_that_only_a_newer_version_can_read_is_to_be_sent_again(
    asleep: Installation, crawl: tuple[str, str, str]
) -> None:
    crawl_id, url, password = crawl
    (event, *_) = events("r1", "http://x/", 1)
    for version, status in (("2", 503), ("1", 200)):
        asleep.redis.hset(f"longhaul:{{crawls}}:record:{crawl_id}", "v", version)
        assert requests.post(url, json=event, auth=(USER, password), timeout=10).status_code == status
    assert len(received(asleep, crawl_id, "page")) == 1


def test_many_events_of_a_new_run_at_once_are_each_taken(asleep: Installation) -> None:
    arguments = {
        "start_url": "http://site-3.fault.invalid/",
        "max_depth": 1,
        "queue": QUEUE,
        "schedule": {"interval": "daily"},
    }
    crawl_id = str(asleep.client.send_task("crawls.create", kwargs=arguments).id)
    until(lambda: CrawlStore(asleep.redis, crawl_limits()).get(crawl_id), "the record")
    url = Callbacks(asleep.local.secret).url(asleep.local.receiver_url, "crawl", crawl_id)
    runs = [[event for event in events("r1", "http://x/", 8, run=number) if "url" in event] for number in (1, 2)]
    with ThreadPoolExecutor(8) as pool:
        for run in runs:
            assert set(pool.map(lambda event: requests.post(url, json=event, timeout=20).status_code, run)) == {200}
    assert sorted(one["run"] for one in received(asleep, crawl_id, "page")) == [1] * 8 + [2] * 8
    asleep.client.send_task("crawls.cancel", kwargs={"crawl_id": crawl_id}).get(timeout=30)


@pytest.mark.parametrize("change", ["token", "crawl", "password", "none", "job"])
def test_no_one_else_delivers_pages(asleep: Installation, crawl: tuple[str, str, str], change: str) -> None:
    crawl_id, url, password = crawl
    wrong = {
        "token": url[:-1] + ("0" if url[-1] != "0" else "1"),
        "crawl": url.replace(crawl_id, "another"),
        "job": url.replace("/crawls/", "/jobs/"),
    }
    auth = {"password": (USER, "wrong"), "none": None}.get(change, (USER, password))
    assert requests.post(wrong.get(change, url), json=page("r1", "http://x/"), auth=auth, timeout=10).status_code == 404
    assert received(asleep, crawl_id, "page") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[1]", 400), (b'{"jobId": "r1"}', 400), (b"\xff", 400), (b" " * (5 * 1024 * 1024), 413)],
)
def test_what_is_no_event_of_a_crawl_is_refused(crawl: tuple[str, str, str], body: bytes, status: int) -> None:
    _, url, password = crawl
    assert requests.post(url, data=body, auth=(USER, password), timeout=10).status_code == status


def test_an_unknown_crawl_is_gone(asleep: Installation) -> None:
    callbacks = Callbacks(asleep.local.secret)
    assert (
        requests.post(
            callbacks.url(asleep.local.receiver_url, "crawl", "nobody"), json=page("r1", "http://x/"), timeout=10
        ).status_code
        == 410
    )


def test_a_crawl_that_is_not_on_record_is_stopped_at_the_remote(
    asleep: Installation, crawl: tuple[str, str, str]
) -> None:
    crawl_id, url, password = crawl
    ordered = {
        "apiKey": "k",
        "start_url": "http://site-5000.fault.invalid/",
        "max_depth": 50,
        "url_regexp_include": ".*",
    }
    stray = requests.post(f"{asleep.local.service_url}/job", json=ordered, timeout=10).json()["jobId"]
    for remote_id in ("r1", stray):
        assert (
            requests.post(url, json=page(remote_id, "http://x/"), auth=(USER, password), timeout=10).status_code == 200
        )
    state = f"{asleep.local.service_url}/job/{stray}"
    until(
        lambda: requests.get(state, timeout=10).json()["status"] in {"cancelled", "in delivery", "delivered"},
        "the stray crawl stopped",
    )
    assert [one["remoteId"] for one in received(asleep, crawl_id, "page")] == ["r1"]
