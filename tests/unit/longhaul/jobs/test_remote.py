import json

import pytest

from longhaul.jobs.job import JobStep
from longhaul.jobs.remote import JobRemote
from longhaul.scraperapi.models import Accepted, Cancelled, NothingAsked, Running
from longhaul.scraperapi.protocol import HttpAnswer
from tests.builders import HOUR, START, a_job

DEADLINE = 72 * HOUR
ANSWER = HttpAnswer(200, {}, b'{"id": "r1", "status": "running"}')


class Recorder:
    """Stands where the batch client does, and keeps what it was asked to call."""

    def __init__(self):
        self.calls = []

    def perform(self, calls):
        self.calls += calls
        for call in calls:
            yield [(call[0], ANSWER)]


@pytest.fixture
def caller():
    return Recorder()


@pytest.fixture
def remote(caller):
    return JobRemote(
        "http://remote.test", {"default": "key-1", "second": "key-2"}, caller, lambda receiver, _: receiver
    )


def act(remote, step, *jobs, now=START):
    return list(remote.act(step, jobs, DEADLINE, now))


def test_each_step_makes_its_call_with_its_accounts_key(remote, caller):
    job = a_job(account="second", callback="https://us.test/x")
    assert act(remote, JobStep.SEND, job) == [[(job, Accepted("r1"))]]
    assert act(remote, JobStep.POLL, job) == [[(job, Running())]]
    assert act(remote, JobStep.CANCEL, job) == [[(job, Cancelled())]]
    (_, send), (_, poll), (_, cancel) = caller.calls
    assert (send.method, send.url) == ("POST", "http://remote.test/jobs")
    assert json.loads(send.body)["apiKey"] == "key-2"
    assert json.loads(send.body)["callback"]["url"] == "https://us.test/x"
    assert (poll.method, poll.url) == ("GET", "http://remote.test/jobs/remote-1")
    assert (cancel.method, cancel.url) == ("DELETE", "http://remote.test/jobs/remote-1")


def test_without_a_receiver_no_callback_is_asked_for(remote, caller):
    act(remote, JobStep.SEND, a_job())
    assert "callback" not in json.loads(caller.calls[0][1].body)


@pytest.mark.parametrize(
    ("step", "changes", "now"),
    [
        (JobStep.SEND, {"cancelled": True}, START),
        (JobStep.SEND, {}, START + DEADLINE),
        (JobStep.SEND, {}, START + DEADLINE + 1),
        (JobStep.CANCEL, {"remote_id": None}, START),
    ],
)
def test_what_needs_no_call_makes_none_and_comes_first(remote, caller, step, changes, now):
    idle, busy = a_job(id="idle", **changes), a_job(id="busy", created=now)
    assert [[(job.id, type(seen)) for job, seen in group] for group in act(remote, step, busy, idle, now=now)] == [
        [("idle", NothingAsked)],
        [("busy", Accepted if step is JobStep.SEND else Cancelled)],
    ]
    assert len(caller.calls) == 1


def test_a_poll_is_made_even_past_the_deadline(remote, caller):
    act(remote, JobStep.POLL, a_job(), now=START + DEADLINE + 1)
    assert len(caller.calls) == 1


def test_no_jobs_are_no_calls(remote):
    assert act(remote, JobStep.POLL) == []
