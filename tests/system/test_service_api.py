"""The service as a client meets it: web process, Celery worker and Redis server, real pages, real waiting."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from longhaul.ledger.connection import connect
from service.faults.words import body_for
from service.jobs.runs import SPACE
from tests.conftest import free_port
from tests.service_process import Service, eventually, service
from tests.service_target import PAGE, Target, serve
from workers.local.embedded_server import serving


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with serve() as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("service"), service_faults="1") as one:
        yield one


def test_a_real_page_comes_back_once(running: Service, target: Target) -> None:
    made = running.post(f"{target.base}/redirect/1", meta={"order": [1, "ü"]})
    base = f"{running.base}/jobs/{made['id']}"
    assert {name: made[name] for name in ("status", "statusUrl", "url", "attempts", "meta")} == {
        "status": "running",
        "statusUrl": base,
        "url": f"{target.base}/redirect/1",
        "attempts": 0,
        "meta": {"order": [1, "ü"]},
    }
    assert datetime.fromisoformat(made["supposedToRunAt"]).tzinfo is not None
    ended = running.ended(made["id"])
    assert (ended["status"], ended["attempts"], ended["meta"]) == ("finished", 1, {"order": [1, "ü"]})
    assert ended["response"]["body"] == PAGE
    assert ended["response"]["headers"]["sa-final-url"] == f"{target.base}/page"
    again = running.get(made["id"])
    assert (again.status_code, again.json()["status"], again.json()["statusCode"]) == (404, "error", 404)


def test_of_many_readers_at_once_one_gets_the_result(running: Service) -> None:
    made = running.post("http://ok.fault.invalid/readers")
    with connect(running.redis_url) as redis:  # any reader that asked the service might retrieve it
        eventually(lambda: redis.hget(f"{SPACE}:record:{made['id']}", "state") == "finished")
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: running.get(made["id"]).status_code, range(32)))
    assert sorted(codes) == [200] + [404] * 31


@pytest.mark.parametrize(("status", "state"), [(403, "finished"), (404, "finished")])
def test_finished_is_not_success(running: Service, target: Target, status: int, state: str) -> None:
    ended = running.ended(running.post(f"{target.base}/status/{status}")["id"])
    assert (ended["status"], ended["response"]["statusCode"]) == (state, status)


def test_trouble_is_retried_and_attempts_and_time_move(running: Service, target: Target) -> None:
    made = running.post(f"{target.base}/flaky/2")
    seen: list[dict[str, Any]] = []

    def ended() -> bool:
        seen.append(running.get(made["id"]).json())
        return bool(seen[-1]["status"] != "running")

    eventually(ended)
    assert (seen[-1]["status"], seen[-1]["attempts"], seen[-1]["response"]["body"]) == ("finished", 3, "flaky")
    times = [document["supposedToRunAt"] for document in seen[:-1]]
    assert times == sorted(times)
    assert len(set(times)) >= 3


def test_a_run_whose_time_is_over_fails(running: Service, target: Target) -> None:
    ended = running.ended(running.post(f"{target.base}/status/500", timeoutSec=2)["id"])
    assert (ended["status"], ended["failReason"]) == ("failed", "failed_due_to_timeout")
    assert ended["attempts"] >= 2
    assert "response" not in ended
    slow = running.ended(running.post(f"{target.base}/slow/9", timeoutSec=1)["id"])
    assert slow["status"] == "failed"


def test_a_batch_is_an_array_in_order(running: Service) -> None:
    urls = [f"http://ok.fault.invalid/batch/{n}" for n in range(300)]
    answer = requests.post(
        f"{running.base}/batchjobs", json={"api_key": "k", "urls": urls, "meta": {"b": 1}}, timeout=10
    )
    assert [made["url"] for made in answer.json()] == urls
    for made in answer.json():
        ended = running.ended(made["id"])
        assert (ended["response"]["body"], ended["meta"]) == (body_for(made["url"]), {"b": 1})


def test_fifty_thousand_are_accepted_and_one_more_is_not(tmp_path: Path) -> None:
    urls = [f"http://example.com/{n}" for n in range(50_001)]
    with serving(free_port()) as redis_url:
        one = Service(redis_url, tmp_path)
        try:
            one.start_web()
            refused = requests.post(f"{one.base}/batchjobs", json={"apiKey": "k", "urls": urls}, timeout=60)
            assert (refused.status_code, refused.json()["error"]) == (
                400,
                "urls: 50001 entries: at most 50000 in one batch",
            )
            made = requests.post(f"{one.base}/batchjobs", json={"apiKey": "k", "urls": urls[:-1]}, timeout=60).json()
            assert [document["url"] for document in made] == urls[:-1]
            assert len({document["id"] for document in made}) == 50_000
            assert one.get(made[-1]["id"]).json() == made[-1] | {
                "supposedToRunAt": one.get(made[-1]["id"]).json()["supposedToRunAt"]
            }
        finally:
            one.stop_all()


def test_cancelling_ends_it_whatever_is_under_way(running: Service, target: Target) -> None:
    made = running.post(f"{target.base}/slow/2")
    eventually(lambda: target.at("/slow/2"))
    document = {
        "id": made["id"],
        "status": "cancelled",
        "statusUrl": made["statusUrl"],
        "url": made["url"],
        "attempts": 1,
    }
    for _ in range(2):
        answer = requests.delete(made["statusUrl"], params={"api_key": "k"}, timeout=5)
        assert (answer.status_code, answer.json()) == (200, document)
    # A page that was begun later and takes as long is done, so the one that was under way is done, too.
    running.ended(running.post(f"{target.base}/slow/2?later")["id"])
    assert running.get(made["id"]).json() == document


def test_cancelling_what_has_ended_changes_nothing(running: Service) -> None:
    made = running.post("http://fail.fault.invalid/")
    running.ended(made["id"])
    assert requests.delete(made["statusUrl"], timeout=5).json()["status"] == "failed"
    assert requests.delete(f"{running.base}/jobs/nobody", timeout=5).status_code == 404


def test_refusals_are_json_with_a_reason(running: Service) -> None:
    for path, body, words in (
        ("/jobs", b'{"url": "http://example.com/"} // hi', "JSON knows no comments"),
        ("/jobs", b'{"apiKey": "k", "url": "http://example.com/", "apiParams": {"render": true}}', "not supported"),
        ("/batchjobs", b'{"apiKey": "k", "urls": ["http://example.com/", 7]}', "urls[1]: 7"),
    ):
        answer = requests.post(running.base + path, data=body, timeout=5)
        assert (answer.status_code, answer.json()["status"], answer.json()["statusCode"]) == (400, "error", 400)
        assert words in answer.json()["error"]
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("PUT", "/jobs", 405),
        ("POST", "/structured/amazon/product", 404),
    ):
        answer = requests.request(method, running.base + path, timeout=5)
        assert (answer.status_code, answer.json()["status"]) == (status, "error")


def test_it_has_an_openapi_page(running: Service) -> None:
    assert "/jobs/{run_id}" in requests.get(f"{running.base}/openapi.json", timeout=5).json()["paths"]
    assert requests.get(f"{running.base}/docs", timeout=5).ok


def test_a_worker_that_dies_loses_nothing(tmp_path_factory: pytest.TempPathFactory, target: Target) -> None:
    short = {"http_timeout": "2", "batch_timeout": "3", "lease": "4"}
    with service(tmp_path_factory.mktemp("service"), **short) as one:
        made = one.post(f"{target.base}/slow/1.5")
        eventually(lambda: target.at("/slow/1.5"))
        one.stop("worker", 9)
        one.start_worker()
        ended = one.ended(made["id"], within=30)
        assert (ended["status"], ended["attempts"]) == ("finished", 2)


def test_private_targets_and_unknown_keys_are_refused(tmp_path_factory: pytest.TempPathFactory, target: Target) -> None:
    settings = {"service_private_targets": "0", "service_api_keys": '["good"]'}
    with service(tmp_path_factory.mktemp("service"), **settings) as one:
        refused = requests.post(f"{one.base}/jobs", json={"apiKey": "good", "url": f"{target.base}/secret"}, timeout=5)
        assert refused.status_code == 400
        hidden = requests.post(
            f"{one.base}/jobs", json={"apiKey": "good", "url": "http://never.fault.invalid/"}, timeout=5
        ).json()
        assert one.get(hidden["id"]).json()["status"] == "running"  # the dial is off, so this host does not exist
        for key, status in (("good", 200), ("bad", 401)):
            assert requests.get(hidden["statusUrl"], params={"api_key": key}, timeout=5).status_code == status
            assert requests.get(hidden["statusUrl"], params={"apiKey": key}, timeout=5).status_code == status
        for body in ({"url": "http://example.com/"}, {"apiKey": "bad", "url": "http://example.com/"}):
            assert requests.post(f"{one.base}/jobs", json=body, timeout=5).status_code == 401


def test_without_its_ledger_it_says_so_and_then_goes_on(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as ledger:
        one = Service(ledger.enter_context(serving(port)), tmp_path)
        try:
            one.start_web()
            ledger.close()
            for answer in (
                requests.post(f"{one.base}/jobs", json={"apiKey": "k", "url": "http://example.com/"}, timeout=30),
                one.get("anything"),
            ):
                assert (answer.status_code, answer.json()["status"]) == (503, "error")
            ledger.enter_context(serving(port))
            assert one.post("http://example.com/")["status"] == "running"
        finally:
            one.stop_all()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("service_retention", "-1", "LONGHAUL_SERVICE_RETENTION"),
        ("redis_url", "redis://127.0.0.1:1/0", "the ledger (LONGHAUL_REDIS_URL) does not answer"),
    ],
)
def test_it_refuses_to_start_with_a_reason(tmp_path: Path, name: str, value: str, words: str) -> None:
    one = Service("redis://127.0.0.1:1/0", tmp_path, {name: value})
    for command in ("web", "worker"):
        one.launch(command)
        assert one.processes.pop(command).wait(30) != 0
        assert words in (tmp_path / f"{command}.log").read_text()
