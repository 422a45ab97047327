import pytest

from longhaul.jobs.decider import Finish
from longhaul.jobs.envelope import end_state, envelope
from longhaul.scraperapi.models import TargetResponse
from longhaul.work.decisions import Cancel, Expire, Fail
from longhaul.work.envelope import without_body
from longhaul.work.item import State
from tests.builders import START, a_job

ALWAYS = {
    "id": "job-1",
    "kind": "job",
    "url": "https://example.com/",
    "remoteId": "remote-1",
    "attempts": 2,
    "polls": 5,
    "submissions": 1,
    "submittedAt": "2027-01-15T08:00:00.000Z",
    "finishedAt": "2027-01-15T08:01:40.500Z",
}
JOB = a_job(attempts=2, polls=5)
NOW = START + 100.5


@pytest.mark.parametrize(
    ("decision", "own"),
    [
        (
            Finish(TargetResponse(404, {"sa-final-url": "u"}, body="<p>", credits=10)),
            {"status": "finished", "statusCode": 404, "headers": {"sa-final-url": "u"}, "body": "<p>", "credits": 10},
        ),
        (
            Finish(TargetResponse(200, {}, base64_body="aGk=")),
            {"status": "finished", "statusCode": 200, "headers": {}, "base64EncodedBody": "aGk="},
        ),
        (
            Finish(TargetResponse(200, {}, body={"a": [1]}, credits=0)),
            {"status": "finished", "statusCode": 200, "headers": {}, "body": {"a": [1]}, "credits": 0},
        ),
        (
            Finish(TargetResponse(200, {}, body="")),
            {"status": "finished", "statusCode": 200, "headers": {}, "body": ""},
        ),
        (Fail("why"), {"status": "failed", "failReason": "why"}),
        (Expire("late"), {"status": "expired", "failReason": "late"}),
        (Cancel(), {"status": "cancelled"}),
    ],
)
def test_an_envelope_has_exactly_its_keys_and_none_where_there_is_nothing(decision, own):
    assert envelope(JOB, decision, NOW) == ALWAYS | own


def test_meta_comes_back_even_when_it_is_empty():
    assert envelope(a_job(meta={}), Cancel(), NOW)["meta"] == {}
    assert envelope(a_job(meta={"a": 1}), Fail("x"), NOW)["meta"] == {"a": 1}


def test_a_job_that_was_never_accepted_has_no_remote_id():
    assert "remoteId" not in envelope(a_job(remote_id=None), Cancel(), NOW)


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (Finish(TargetResponse(200, {})), State.FINISHED),
        (Fail(""), State.FAILED),
        (Expire(""), State.EXPIRED),
        (Cancel(), State.CANCELLED),
    ],
)
def test_each_end_has_its_state(decision, state):
    assert end_state(decision) is state


def test_the_bodiless_form_leaves_both_kinds_of_body_out_and_nothing_else():
    document = envelope(JOB, Finish(TargetResponse(200, {}, body="b")), NOW)
    assert without_body(document | {"base64EncodedBody": "x"}) == {
        key: value for key, value in document.items() if key != "body"
    }
