from __future__ import annotations

import json
from pathlib import Path

import pytest

from longhaul.errors import InvalidArgument
from service.faults import words
from service.faults.words import Fault, body_for, drops_webhooks, read_faults, split_faults
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import Answered, Hopeless, Later

BORN = 100.0


def outcome(spec: str, attempts: int = 1, now: float = BORN) -> object:
    request, found = split_faults(FetchRequest(f"http://{spec.replace(' ', '.')}.fault.invalid/a"))
    return words.outcome(request, found, attempts, BORN, now)


def test_words_are_read_in_order() -> None:
    assert read_faults("get429-2-5 slow-1 notfound") == [Fault("get429", 2, 5), Fault("slow", 1), Fault("notfound")]


@pytest.mark.parametrize("spec", ["explode", "get418-1", "slow-x", "get429-1-2-3"])
def test_an_unknown_word_is_refused(spec: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^fault: "):
        split_faults(FetchRequest(f"http://{spec}.fault.invalid/"))


def test_the_header_is_removed() -> None:
    given = FetchRequest("http://example.com/", headers={"x-longhaul-fault": "get500-1", "accept": "x"})
    assert split_faults(given) == (FetchRequest("http://example.com/", headers={"accept": "x"}), "get500-1")


def test_other_targets_are_left_alone() -> None:
    plain = FetchRequest("http://example.com/", headers={"accept": "x"})
    assert split_faults(plain) == (plain, "")


def test_a_fault_host_is_answered_without_network() -> None:
    answer = outcome("ok")
    assert isinstance(answer, Answered)
    assert json.loads(answer.response)["body"] == body_for("http://ok.fault.invalid/a")


def test_a_real_target_with_faults_of_reading_is_really_fetched() -> None:
    assert words.outcome(FetchRequest("http://example.com/"), "get500-1", 1, BORN, BORN) is None


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
    assert drops_webhooks("ok nowebhook")
    assert not drops_webhooks("ok")


def test_every_kind_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs" / "reference" / "faults.md").read_text()
    kinds = {
        kind.rstrip("0123456789") if kind[:3] in ("get", "pos", "del") and kind[-1].isdigit() else kind
        for kind in words.KINDS
    }
    assert [kind for kind in sorted(kinds) if f"`{kind}" not in page] == []
