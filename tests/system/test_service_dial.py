"""The fault dial over real HTTP: what other tests of this project build on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from service.faults.words import body_for, huge_for, object_for
from tests.service_process import Service, eventually, service
from tests.service_target import PAGE, serve


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("service"), service_faults="1") as one:
        yield one


def submit(running: Service, url: str) -> requests.Response:
    return requests.post(f"{running.base}/jobs", json={"apiKey": "k", "url": url}, timeout=5)


def test_refused_submissions(running: Service) -> None:
    answers = [submit(running, "http://post429-1-7.post503-1.fault.invalid/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 503, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert answers[0].json()["status"] == "error"
    plain = submit(running, "http://plain.post400.fault.invalid/")
    assert (plain.status_code, plain.headers["content-type"]) == (400, "text/plain; charset=utf-8")


def test_a_submission_whose_answer_is_cut_is_still_a_job(running: Service) -> None:
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        submit(running, "http://postcut-1.fault.invalid/")
    assert submit(running, "http://postcut-1.fault.invalid/").ok


def test_refused_readings_leave_the_result_alone(running: Service) -> None:
    made = running.post("http://notfound-1.get429-1-3.get500-1.badjson-1.unknownstatus-1.fault.invalid/")
    answers = [running.get(made["id"]) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404, 429, 500, 200, 200]
    assert answers[1].headers["retry-after"] == "3"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answers[3].text)
    assert answers[4].json()["status"] == "pondering"
    assert running.ended(made["id"])["response"]["body"] == body_for(made["url"])


def test_a_cut_reading_does_not_count(running: Service) -> None:
    made = running.post("http://cut-2.fault.invalid/")

    def cut() -> bool:
        try:
            return running.get(made["id"]).json()["status"] != "running"
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            cuts.append(1)
            return False

    cuts: list[int] = []
    eventually(cut)
    assert len(cuts) == 2


@pytest.mark.parametrize(("word", "status"), [("expire", 404), ("gone", 410)])
def test_results_that_vanish(running: Service, word: str, status: int) -> None:
    made = running.post(f"http://slow-1.{word}.fault.invalid/")
    assert running.get(made["id"]).json()["status"] == "running"
    eventually(lambda: running.get(made["id"]).status_code == status)


def test_bodies_of_every_kind(running: Service) -> None:
    made = {
        word: running.post(f"http://{word}.fault.invalid/")
        for word in ("huge-3", "binary", "object", "status-403", "fail", "flaky-1")
    }
    ended = {word: running.ended(document["id"]) for word, document in made.items()}
    assert ended["huge-3"]["response"]["body"] == huge_for(made["huge-3"]["url"], 3)
    assert "base64EncodedBody" in ended["binary"]["response"]
    assert ended["object"]["response"]["body"] == object_for(made["object"]["url"])
    assert ended["status-403"]["response"]["statusCode"] == 403
    assert ended["fail"]["status"] == "failed"
    assert ended["flaky-1"]["attempts"] == 2


def test_a_header_makes_faults_with_a_real_target_that_does_not_see_it(running: Service) -> None:
    with serve() as target:
        made = running.post(
            f"{target.base}/page", headers={"X-Longhaul-Fault": "get503-1"}, apiParams={"keep_headers": True}
        )
        assert running.get(made["id"]).status_code == 503
        assert running.ended(made["id"])["response"]["body"] == PAGE
        assert not [name for name in target.at("/page")[0].headers if "longhaul" in name]
