from __future__ import annotations

import json
from pathlib import Path

import pytest
from redis import Redis

from longhaul.errors import InvalidArgument
from service.faults import words as faults
from service.faults.dial import Cut, Dial, Garble, Refuse, Rename
from service.faults.words import Fault, dialled, read
from service.fetching.retry_policy import Answered, Hopeless, Later
from service.jobs.submission import RunRequest

BORN = 100.0


def outcome(spec: str, attempts: int = 1, now: float = BORN) -> object:
    submission = dialled(RunRequest(f"http://{spec.replace(' ', '.')}.fault.invalid/a"))
    return faults.outcome(submission, attempts, BORN, now)


def test_words_are_read_in_order() -> None:
    assert read("get429-2-5 slow-1 notfound") == [Fault("get429", 2, 5), Fault("slow", 1), Fault("notfound")]


@pytest.mark.parametrize("spec", ["explode", "get418-1", "slow-x", "get429-1-2-3"])
def test_an_unknown_word_is_refused(spec: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^fault: "):
        dialled(RunRequest(f"http://{spec}.fault.invalid/"))


def test_the_header_is_taken_off() -> None:
    given = dialled(RunRequest("http://example.com/", headers={"x-longhaul-fault": "get500-1", "accept": "x"}))
    assert given.headers == {"accept": "x"}
    assert given.faults == "get500-1"


def test_other_targets_are_left_alone() -> None:
    plain = RunRequest("http://example.com/", headers={"accept": "x"})
    assert dialled(plain) is plain


def test_a_fault_host_is_answered_without_network() -> None:
    answer = outcome("ok")
    assert isinstance(answer, Answered)
    assert json.loads(answer.response)["body"] == faults.body_for("http://ok.fault.invalid/a")


def test_a_real_target_with_faults_of_reading_is_really_fetched() -> None:
    submission = dialled(RunRequest("http://example.com/", headers={"x-longhaul-fault": "get500-1"}))
    assert faults.outcome(submission, 1, BORN, BORN) is None


def test_slow_waits_then_answers() -> None:
    assert outcome("slow-3") == Later(BORN + 3)
    assert isinstance(outcome("slow-3", now=BORN + 3), Answered)
    assert outcome("never") == Later(None)


def test_fail_status_flaky_and_shapes() -> None:
    assert isinstance(outcome("fail"), Hopeless)
    answers = {spec: outcome(spec) for spec in ("status-403", "huge-2", "binary", "object")}
    assert all(isinstance(answer, Answered) for answer in answers.values())
    documents = {spec: json.loads(answer.response) for spec, answer in answers.items() if isinstance(answer, Answered)}
    assert documents["status-403"]["statusCode"] == 403
    assert len(documents["huge-2"]["body"]) == 2 * 1024 * 1024
    assert "base64EncodedBody" in documents["binary"]
    assert documents["object"]["body"]["items"] == [1, 2, 3]
    codes = [answer.status for attempts in (1, 2, 3) if isinstance(answer := outcome("flaky-2", attempts), Answered)]
    assert codes == [503, 503, 200]


def test_a_webhook_can_be_switched_off() -> None:
    assert dialled(RunRequest("http://nowebhook.fault.invalid/", callback="http://example.com/")).callback is None


def test_counted_faults_of_reading_happen_so_often_then_end(redis: Redis) -> None:
    dial = Dial(redis)
    running = {"state": "running", "faults": "get429-1-7 get500-2 badjson-1 unknownstatus-1"}
    replies = [dial.on_get("run", running) for _ in range(6)]
    assert replies == [Refuse(429, 7), Refuse(500), Refuse(500), Garble(), Rename(), None]
    assert dial.on_get("another", running) == Refuse(429, 7)


def test_faults_of_the_result_wait_for_it(redis: Redis) -> None:
    dial = Dial(redis)
    for word, reply in (("cut-1", Cut()), ("expire", Refuse(404)), ("gone", Refuse(410))):
        assert dial.on_get(word, {"state": "running", "faults": word}) is None
        assert dial.on_get(word, {"state": "finished", "faults": word}) == reply


def test_faults_of_submitting_count_for_the_url(redis: Redis) -> None:
    dial = Dial(redis)
    assert [dial.on_post("a", "plain post503-1 postcut-1") for _ in range(3)] == [Refuse(503, plain=True), Cut(), None]
    assert [dial.on_post("b", "post400") for _ in range(3)] == [Refuse(400)] * 3


def test_every_kind_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs" / "reference" / "faults.md").read_text()
    kinds = {
        kind.rstrip("0123456789") if kind[:3] in ("get", "pos", "del") and kind[-1].isdigit() else kind
        for kind in faults.KINDS
    }
    assert [kind for kind in sorted(kinds) if f"`{kind}" not in page] == []
