"""The soak in short, and its judges, each shown a fault: `make soak` is the long form."""

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
from tests.soak.course import go
from tests.soak.diary import Diary, Heard, most_within
from tests.soak.extent import Size
from tests.soak.findings import (
    NOISE,
    STEEPEST,
    Rush,
    judge_envelopes,
    judge_keys,
    judge_lateness,
    judge_memory,
    judge_order,
    judge_records,
    judge_rush,
)
from tests.soak.gauges import slope, trend
from tests.soak.keywalk import Keys, pattern, walk
from tests.soak.patient import MODES, RECORD, Answer
from tests.soak.punctuality import Lateness, Order, order
from tests.soak.soak_table import table
from tests.soak.watch import number_of

JOBS = 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_waiting_jobs_an_outage_and_a_stop_cost_nothing(tmp_path: Path) -> None:
    findings = go(Size(1_200, 45.0, 200), tmp_path / "run")
    sys.stderr.write(table(findings))
    assert findings.faults == []
    assert findings.envelopes == 1_200


def test_a_process_that_grows_is_found_and_noise_is_not() -> None:
    flat = [(float(second), 50_000_000 + (second % 2) * 100_000) for second in range(0, 1200, 2)]
    grown = [(at, size + int(at * STEEPEST * 2)) for at, size in flat]
    assert slope([(0.0, 1), (10.0, 21), (20.0, 41)]) == pytest.approx(2)
    assert judge_memory([trend("beat", flat)]) == []
    (fault,) = judge_memory([trend("beat", flat), trend("worker1", grown)])
    assert fault.startswith("worker1 grows by 0.50 MB/min")
    # As steep, but over so short a time that it comes to nothing.
    assert trend("worker1", grown[:60]).growth < NOISE
    assert judge_memory([trend("worker1", grown[:60])]) == []


def test_a_look_is_as_late_as_the_remote_hears_of_it() -> None:
    lateness = Lateness()
    lateness.expect({1: 100.0, 2: 100.5, 3: 101.0})
    # The first request of job 2 is the look before, which was under way when the due time was asked for.
    lateness.hear([Heard(1, 0, 100.25), Heard(2, 0, 100.4), Heard(2, 0, 101.0), Heard(9, 0, 101.0)])
    lateness.close(104.0)
    assert lateness.seconds == [0.25, 0.5, 3.0]
    assert lateness.absent == 1
    assert lateness.at(0.5) == 0.5
    assert judge_lateness("quiet", lateness) == ["quiet: 1 looks that were due did not come"]


def test_looks_that_are_late_or_not_measured_are_found() -> None:
    assert judge_lateness("quiet", Lateness()) == ["quiet: no look was measured"]
    assert judge_lateness("quiet", Lateness(seconds=[0.5] * 995 + [60.0] * 5)) == []
    (fault,) = judge_lateness("quiet", Lateness(seconds=[0.5] * 980 + [6.0] * 20))
    assert "6.0 s late" in fault


def test_a_storm_and_a_lull_are_found() -> None:
    assert judge_rush(Rush("recovery", 50, [100] * 30, 30), 100) == []
    for counts, words in (
        ([100, 201, 100], "201 requests in one second"),
        ([120] * 30, "1200 requests in 10 s"),
        ([40] * 30, "40 requests a second, but 50 before"),
    ):
        (fault,) = judge_rush(Rush("recovery", 50, counts, 30), 100)
        assert words in fault
    assert most_within([1, 5, 5, 1], 2) == 10


def test_the_order_of_looks_is_that_of_their_due_times_but_for_what_is_under_way() -> None:
    dues = {number: float(number) for number in range(1000)}
    by_tens = [at + place for at in range(0, 1000, 10) for place in reversed(range(10))]
    good = order(dues, [5000, *by_tens, *by_tens], slack=10)
    assert (good.count, good.displaced, good.worst, good.missing) == (1000, 0.0, 9, 0)
    assert judge_order(good, 1000) == []
    assert order(dues, list(reversed(range(1000))), slack=10).correlation == pytest.approx(-1)
    for arrived, words in (
        (list(reversed(range(1000))), "not come oldest first"),
        ([*range(20, 1000), *range(20)], "2.0% out of place"),
        (list(range(999)), "999 of at least 1000 overdue looks came, 1 did not"),
    ):
        (fault,) = judge_order(order(dues, arrived, slack=20), 1000)
        assert words in fault
    assert judge_order(Order(10, 1.0, 0.0, 0, 0), 20) != []


def test_keys_that_grow_are_found(redis: Redis) -> None:
    redis.hset("longhaul:{jobs}:record:soak-0.1", mapping={"state": "running"})
    redis.hset("longhaul:{jobs}:record:soak-12.345", mapping={"state": "running"})
    before = walk(redis)
    assert {name: keys.count for name, keys in before.items()} == {"longhaul:{jobs}:record:<id>": 2}
    assert judge_keys(before, walk(redis)) == []
    for number in range(30):
        redis.set(f"stray:{number}", 1)
    redis.rpush("celery", *("x" * 1000 for _ in range(200)))
    found = judge_keys(before, walk(redis))
    assert "keys stray:<n>: 0 have become 30" in found
    assert any(fault.startswith("keys celery: 0 bytes have become") for fault in found)
    redis.mset({f"longhaul:{{jobs}}:record:soak-1.{number}": 1 for number in range(30)})
    assert "keys longhaul:{jobs}:record:<id>: 2 have become 32" in judge_keys(before, walk(redis))


def test_the_size_of_many_keys_is_estimated_from_a_sample() -> None:
    assert Keys(count=1000, weighed=500, sampled=10).size == 50_000
    assert pattern("longhaul:{jobs}:target:soak-3.14159") == "longhaul:{jobs}:target:<id>"
    assert pattern("0a1b2c3d-0a1b-3c4d-8e9f-0123456789ab.reply.celery.pidbox") == "<id>.reply.celery.pidbox"


def test_an_attempt_that_was_burned_and_a_second_submission_are_found() -> None:
    good = {"attempts": Counter({"0": JOBS}), "submissions": Counter({"1": JOBS}), "state": Counter({"finished": JOBS})}
    once = dict.fromkeys(range(JOBS), 1)
    assert judge_records(good, JOBS, once) == []
    assert judge_records({**good, "attempts": Counter({"0": 2, "1": 1})}, JOBS, once) == [
        "1 records have attempts '1', not '0'"
    ]
    assert judge_records({**good, "state": Counter({"finished": 2})}, JOBS, once) == ["2 records with state, not 3"]
    assert len(judge_records(good, JOBS, {**once, 1: 2})) == 1
    assert len(judge_records(good, JOBS, {**once, 7: 1})) == 1


def test_envelopes_that_are_lost_doubled_strange_or_wrong_are_found() -> None:
    ids = [number_of_id(number) for number in range(JOBS)]
    notes = {id_: [{"status": "finished", "digest": digest(f"page {number}")}] for number, id_ in enumerate(ids)}
    assert judge_envelopes(notes, ids) == []
    first = notes[ids[0]][0]
    for faulty, words in (
        ({**notes, ids[0]: []}, "1 jobs have no envelope"),
        ({**notes, ids[0]: [first, first]}, "1 jobs have several"),
        ({**notes, "stranger": [first]}, "1 jobs are nobody's"),
        ({**notes, ids[0]: notes[ids[1]]}, "another end"),
        ({**notes, ids[0]: [{**first, "status": "expired"}]}, "another end"),
    ):
        (fault,) = judge_envelopes(faulty, ids)
        assert words in fault


def number_of_id(number: int) -> str:
    id_ = f"soak-{number // 2}.{number % 2}"
    assert number_of(2)(id_) == number
    return id_


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    stub = subprocess.Popen([sys.executable, "-m", "tests.soak.patient", str(port), str(tmp_path / "diary")], cwd=ROOT)
    try:
        until(lambda: listens(port), "the remote")
        yield f"http://127.0.0.1:{port}"
    finally:
        stub.terminate()
        stub.wait()


def test_the_remote_answers_as_it_is_told_and_writes_down_what_it_hears(remote: str, tmp_path: Path) -> None:
    def look(number: object = 7) -> requests.Response:
        return requests.get(f"{remote}/jobs/{number}", timeout=5)

    def tell(what: str) -> None:
        assert requests.put(f"{remote}/{what}", timeout=5).ok

    assert (
        requests.post(f"{remote}/jobs", json={"apiKey": "k", "url": "http://target.invalid/7"}, timeout=5).json()["id"]
        == "7"
    )
    assert look().json()["status"] == "running"
    assert look("00000000-0000-4000-8000-000000000000").status_code == 404
    tell("sync")
    diary = Diary(tmp_path / "diary")
    began = next(heard.at for heard in diary.news())
    told = []
    for mode in MODES[1:]:
        tell(f"mode/{mode}")
        told.append(look())
    assert [answer.status_code for answer in told] == [503, 429, 429, 200]
    assert [answer.headers.get("Retry-After") for answer in told] == [None, "10", None, None]
    assert told[-1].json()["response"]["body"] == "page 7"
    tell("sync")
    news = diary.news()
    assert [heard.answer for heard in news] == [Answer.OUTAGE, Answer.THROTTLED, Answer.THROTTLED, Answer.FINISHED]
    assert {heard.number for heard in news} == {7}
    assert diary.submitted == {7: 1}
    assert diary.answered(Answer.THROTTLED, began - 1, began + 60) == 2
    assert diary.first(Answer.OUTAGE, began - 2) == int(news[0].at)
    assert diary.first(Answer.OUTAGE, began + 60) is None
    # Whole seconds only: of the first and the last nobody knows how much of them it was.
    assert sum(diary.requests(began - 2, began + 60)) == 6


def test_half_a_record_in_the_diary_waits_for_its_other_half(tmp_path: Path) -> None:
    record = RECORD.pack(5, Answer.RUNNING, 100.5)
    (tmp_path / "diary").write_bytes(record + record[:4])
    diary = Diary(tmp_path / "diary")
    assert diary.news() == [Heard(5, 0, 100.5)]
    (tmp_path / "diary").write_bytes(record * 2)
    assert diary.news() == [Heard(5, 0, 100.5)]
    assert diary.requests(99.0, 102.0) == [2, 0]
