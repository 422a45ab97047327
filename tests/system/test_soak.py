"""A short soak, and tests of its checks, each shown a violation. The full soak: `make soak`."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from redis import Redis

from benchmarks.rig import listens
from tests.chaos.workload import digest
from tests.conftest import free_port
from tests.installation import ROOT, until
from tests.soak.checks import (
    MAX_SLOPE,
    MIN_GROWTH_BYTES,
    CatchUp,
    check_catch_up,
    check_envelopes,
    check_keys,
    check_lateness,
    check_memory,
    check_order,
    check_records,
)
from tests.soak.key_stats import KeyStats, count_keys, pattern
from tests.soak.lateness import Lateness, Order, order
from tests.soak.memory import slope, trend
from tests.soak.monitor import number_of
from tests.soak.report import report
from tests.soak.request_log import Request, RequestLog, max_within
from tests.soak.run import run
from tests.soak.size import SoakSize
from tests.soak.stub_remote import MODES, RECORD, Answer

JOBS = 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_waiting_jobs_an_outage_and_a_stop_cost_nothing(tmp_path: Path) -> None:
    result = run(SoakSize(1_200, 45.0, 200), tmp_path / "run")
    sys.stderr.write(report(result))
    assert result.violations == []
    assert result.envelopes == 1_200


def test_a_process_that_grows_is_found_and_noise_is_not() -> None:
    flat = [(float(second), 50_000_000 + (second % 2) * 100_000) for second in range(0, 1200, 2)]
    grown = [(at, size + int(at * MAX_SLOPE * 2)) for at, size in flat]
    assert slope([(0.0, 1), (10.0, 21), (20.0, 41)]) == pytest.approx(2)
    assert check_memory([trend("beat", flat)]) == []
    (violation,) = check_memory([trend("beat", flat), trend("worker1", grown)])
    assert violation.startswith("worker1 grows by 0.50 MB/min")
    # As steep, but over too short a time to matter.
    assert trend("worker1", grown[:60]).growth < MIN_GROWTH_BYTES
    assert check_memory([trend("worker1", grown[:60])]) == []


def test_a_poll_is_as_late_as_its_arrival_at_the_remote() -> None:
    lateness = Lateness()
    lateness.expect({1: 100.0, 2: 100.5, 3: 101.0})
    # The first request of job 2 is the poll before: it was in flight when the due time was read.
    lateness.add([Request(1, 0, 100.25), Request(2, 0, 100.4), Request(2, 0, 101.0), Request(9, 0, 101.0)])
    lateness.close(104.0)
    assert lateness.seconds == [0.25, 0.5, 3.0]
    assert lateness.absent == 1
    assert lateness.quantile(0.5) == 0.5
    assert check_lateness("quiet", lateness) == ["quiet: 1 polls that were due did not come"]


def test_polls_that_are_late_or_not_measured_are_found() -> None:
    assert check_lateness("quiet", Lateness()) == ["quiet: no poll was measured"]
    assert check_lateness("quiet", Lateness(seconds=[0.5] * 995 + [60.0] * 5)) == []
    (violation,) = check_lateness("quiet", Lateness(seconds=[0.5] * 980 + [6.0] * 20))
    assert "6.0 s late" in violation


def test_a_storm_and_a_lull_are_found() -> None:
    assert check_catch_up(CatchUp("recovery", 50, [100] * 30, 30), 100) == []
    for counts, words in (
        ([100, 201, 100], "201 requests in one second"),
        ([120] * 30, "1200 requests in 10 s"),
        ([40] * 30, "40 requests a second, but 50 before"),
    ):
        (violation,) = check_catch_up(CatchUp("recovery", 50, counts, 30), 100)
        assert words in violation
    assert max_within([1, 5, 5, 1], 2) == 10


def test_polls_come_in_the_order_of_their_due_times_apart_from_what_is_in_flight() -> None:
    due_times = {number: float(number) for number in range(1000)}
    by_tens = [at + place for at in range(0, 1000, 10) for place in reversed(range(10))]
    good = order(due_times, [5000, *by_tens, *by_tens], slack=10)
    assert (good.count, good.displaced, good.worst, good.missing) == (1000, 0.0, 9, 0)
    assert check_order(good, 1000) == []
    assert order(due_times, list(reversed(range(1000))), slack=10).correlation == pytest.approx(-1)
    for arrived, words in (
        (list(reversed(range(1000))), "not come oldest first"),
        ([*range(20, 1000), *range(20)], "2.0% out of place"),
        (list(range(999)), "999 of at least 1000 overdue polls came, 1 did not"),
    ):
        (violation,) = check_order(order(due_times, arrived, slack=20), 1000)
        assert words in violation
    assert check_order(Order(10, 1.0, 0.0, 0, 0), 20) != []


def test_keys_that_grow_are_found(redis: Redis) -> None:
    redis.hset("longhaul:{jobs}:record:soak-0.1", mapping={"state": "running"})
    redis.hset("longhaul:{jobs}:record:soak-12.345", mapping={"state": "running"})
    before = count_keys(redis)
    assert {name: keys.count for name, keys in before.items()} == {"longhaul:{jobs}:record:<id>": 2}
    assert check_keys(before, count_keys(redis)) == []
    for number in range(30):
        redis.set(f"stray:{number}", 1)
    redis.rpush("celery", *("x" * 1000 for _ in range(200)))
    found = check_keys(before, count_keys(redis))
    assert "keys stray:<n>: 0 have become 30" in found
    assert any(violation.startswith("keys celery: 0 bytes have become") for violation in found)
    redis.mset({f"longhaul:{{jobs}}:record:soak-1.{number}": 1 for number in range(30)})
    assert "keys longhaul:{jobs}:record:<id>: 2 have become 32" in check_keys(before, count_keys(redis))


def test_the_size_of_many_keys_is_estimated_from_a_sample() -> None:
    assert KeyStats(count=1000, measured=500, sampled=10).size == 50_000
    assert pattern("longhaul:{jobs}:target:soak-3.14159") == "longhaul:{jobs}:target:<id>"
    assert pattern("0a1b2c3d-0a1b-3c4d-8e9f-0123456789ab.reply.celery.pidbox") == "<id>.reply.celery.pidbox"


def test_a_used_attempt_and_a_second_submission_are_found() -> None:
    good = {"attempts": Counter({"0": JOBS}), "submissions": Counter({"1": JOBS}), "state": Counter({"finished": JOBS})}
    once = dict.fromkeys(range(JOBS), 1)
    assert check_records(good, JOBS, once) == []
    assert check_records({**good, "attempts": Counter({"0": 2, "1": 1})}, JOBS, once) == [
        "1 records have attempts '1', not '0'"
    ]
    assert check_records({**good, "state": Counter({"finished": 2})}, JOBS, once) == ["2 records with state, not 3"]
    assert len(check_records(good, JOBS, {**once, 1: 2})) == 1
    assert len(check_records(good, JOBS, {**once, 7: 1})) == 1


def test_envelopes_that_are_lost_duplicated_unknown_or_wrong_are_found() -> None:
    ids = [number_of_id(number) for number in range(JOBS)]
    journals = {id_: [{"status": "finished", "digest": digest(f"page {number}")}] for number, id_ in enumerate(ids)}
    assert check_envelopes(journals, ids) == []
    first = journals[ids[0]][0]
    for broken, words in (
        ({**journals, ids[0]: []}, "1 jobs have no envelope"),
        ({**journals, ids[0]: [first, first]}, "1 jobs have several"),
        ({**journals, "unknown": [first]}, "1 jobs were not sent"),
        ({**journals, ids[0]: journals[ids[1]]}, "wrong envelope"),
        ({**journals, ids[0]: [{**first, "status": "expired"}]}, "wrong envelope"),
    ):
        (violation,) = check_envelopes(broken, ids)
        assert words in violation


def number_of_id(number: int) -> str:
    id_ = f"soak-{number // 2}.{number % 2}"
    assert number_of(2)(id_) == number
    return id_


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    stub = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.stub_remote", str(port), str(tmp_path / "requests")], cwd=ROOT
    )
    try:
        until(lambda: listens(port), "the remote")
        yield f"http://127.0.0.1:{port}"
    finally:
        stub.terminate()
        stub.wait()


def test_the_remote_answers_according_to_its_mode_and_logs_each_request(remote: str, tmp_path: Path) -> None:
    def poll(number: object = 7) -> requests.Response:
        return requests.get(f"{remote}/jobs/{number}", timeout=5)

    def put(what: str) -> None:
        assert requests.put(f"{remote}/{what}", timeout=5).ok

    assert (
        requests.post(f"{remote}/jobs", json={"apiKey": "k", "url": "http://target.invalid/7"}, timeout=5).json()["id"]
        == "7"
    )
    assert poll().json()["status"] == "running"
    assert poll("00000000-0000-4000-8000-000000000000").status_code == 404
    put("flush")
    log = RequestLog(tmp_path / "requests")
    began = next(request.at for request in log.read_new())
    answers = []
    for mode in MODES[1:]:
        put(f"mode/{mode}")
        answers.append(poll())
    assert [answer.status_code for answer in answers] == [503, 429, 429, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == [None, "10", None, None]
    assert answers[-1].json()["response"]["body"] == "page 7"
    put("flush")
    logged = log.read_new()
    assert [request.answer for request in logged] == [
        Answer.OUTAGE,
        Answer.THROTTLED,
        Answer.THROTTLED,
        Answer.FINISHED,
    ]
    assert {request.number for request in logged} == {7}
    assert log.submitted == {7: 1}
    assert log.answered(Answer.THROTTLED, began - 1, began + 60) == 2
    assert log.first(Answer.OUTAGE, began - 2) == int(logged[0].at)
    assert log.first(Answer.OUTAGE, began + 60) is None
    # Whole seconds only: the first and the last second are incomplete.
    assert sum(log.per_second(began - 2, began + 60)) == 6


def test_half_a_record_in_the_log_waits_for_its_other_half(tmp_path: Path) -> None:
    record = RECORD.pack(5, Answer.RUNNING, 100.5)
    (tmp_path / "requests").write_bytes(record + record[:4])
    log = RequestLog(tmp_path / "requests")
    assert log.read_new() == [Request(5, 0, 100.5)]
    (tmp_path / "requests").write_bytes(record * 2)
    assert log.read_new() == [Request(5, 0, 100.5)]
    assert log.per_second(99.0, 102.0) == [2, 0]
