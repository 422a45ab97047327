"""What follows from what was seen of a job: every case of every step."""

import ast
import inspect
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import longhaul.jobs.decider
from longhaul.jobs.decider import Finish, JobDecider, Resend
from longhaul.scraperapi import models
from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    Failed,
    Interrupted,
    Malformed,
    NoKey,
    NotFound,
    NothingAsked,
    Rejected,
    RemoteTrouble,
    Running,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze
from tests.builders import HOUR, START, a_job, default_policies, finished

POLICIES = default_policies(poll_jitter=0)
DECIDER = JobDecider(POLICIES)
AT_DEADLINE = START + 72 * HOUR
LATER = START + 1000.0

SEND = [
    (Accepted("r9"), Sent("r9", LATER + 2)),
    (Rejected("bad url"), Fail("the remote rejected the request: bad url")),
    (AccountRefused(401, "bad key"), Pause(LATER + 30, "HTTP 401 from the remote: bad key")),
    (AccountRefused(403, "no credits"), Pause(LATER + 30, "HTTP 403 from the remote: no credits")),
    (Throttled(None), Pause(LATER + 5, "too many requests (HTTP 429)")),
    (Throttled(40), Pause(LATER + 40, "too many requests (HTTP 429)")),
    (NotFound(), Pause(LATER + 30, "the remote answers 404 to submissions: is LONGHAUL_ASYNC_URL right?")),
    (NotFound(gone=True), Pause(LATER + 30, "the remote answers 404 to submissions: is LONGHAUL_ASYNC_URL right?")),
    (Unreachable("refused"), Snooze(LATER + 60)),
    (RemoteTrouble(503, "x"), Snooze(LATER + 60)),
    (RemoteTrouble(502, "x"), Retry(LATER + 5, "HTTP 502 from the remote: x")),
    (RemoteTrouble(504, "x"), Retry(LATER + 5, "HTTP 504 from the remote: x")),
    (NoKey(), Pause(LATER + 30, "account `default` has no key here: set LONGHAUL_API_KEYS")),
    (RemoteTrouble(500, "oops"), Retry(LATER + 5, "HTTP 500 from the remote: oops")),
    (RemoteTrouble(301, ""), Retry(LATER + 5, "HTTP 301 from the remote: ")),
    (RemoteTrouble(429, "target"), Retry(LATER + 5, "HTTP 429 from the remote: target")),
    (Interrupted("reset"), Retry(LATER + 5, "the submission broke off: reset")),
    (Malformed("not JSON"), Retry(LATER + 5, "the remote's answer is malformed: not JSON")),
    (TooLarge(9), Retry(LATER + 5, "the remote's answer to a submission is over 9 bytes")),
    (NothingAsked(), Expire("not accepted by the remote within 72 hours")),
]

POLL = [
    (finished("x"), Finish(finished("x").response)),
    (Failed("failed_due_to_timeout"), Fail("failed_due_to_timeout")),
    (Cancelled(), Cancel()),
    (Running(), Snooze(LATER + 600, alive=True)),
    (Running("a status of tomorrow"), Snooze(LATER + 600, alive=True)),
    (RemoteTrouble(500, "x"), Snooze(LATER + 600)),
    (RemoteTrouble(503, "x"), Snooze(LATER + 600)),
    (RemoteTrouble(429, "target"), Snooze(LATER + 600)),
    (Unreachable("refused"), Snooze(LATER + 600)),
    (Interrupted("reset"), Snooze(LATER + 600)),
    (NotFound(), Resend()),
    (NotFound(gone=True), Resend()),
    (Rejected("bad id"), Fail("the remote rejected the poll: bad id")),
    (AccountRefused(403, "no credits"), Pause(LATER + 30, "HTTP 403 from the remote: no credits")),
    (Throttled(None), Pause(LATER + 5, "too many requests (HTTP 429)")),
    (Malformed("not JSON"), Retry(LATER + 5, "the remote's answer is malformed: not JSON")),
    (TooLarge(9), Fail("the result is over 9 bytes (LONGHAUL_MAX_BODY_BYTES)")),
]

CANCEL = [
    (NothingAsked(), Cancel()),
    (Cancelled(), Cancel()),
    (NotFound(), Cancel()),
    (NotFound(gone=True), Cancel()),
    (Rejected("x"), Cancel()),
    (AccountRefused(401, "bad key"), Pause(LATER + 30, "HTTP 401 from the remote: bad key")),
    (Throttled(None), Pause(LATER + 5, "too many requests (HTTP 429)")),
    (RemoteTrouble(500, "x"), Snooze(LATER + 600)),
    (Unreachable("x"), Snooze(LATER + 600)),
    (Interrupted("x"), Snooze(LATER + 600)),
    (Malformed("x"), Snooze(LATER + 600)),
    (TooLarge(9), Snooze(LATER + 600)),
]

STEPS = {
    "send": (SEND, DECIDER.after_send, models.SubmitSeen),
    "look": (POLL, DECIDER.after_poll, models.PollSeen),
    "cancel": (CANCEL, DECIDER.after_cancel, models.CancelSeen),
}
CASES = [(step, seen, decision) for step, (table, _, _) in STEPS.items() for seen, decision in table]


@pytest.mark.parametrize(
    ("step", "seen", "decision"), CASES, ids=lambda value: value if isinstance(value, str) else repr(value)[:60]
)
def test_what_was_seen_leads_to_its_decision_and_always_to_the_same(step, seen, decision):
    decide = STEPS[step][1]
    job = a_job()
    assert decide(job, seen, LATER) == decision
    assert decide(job, seen, LATER) == decision
    assert job == a_job()


@pytest.mark.parametrize("step", STEPS)
def test_the_table_has_every_type_that_the_step_can_see(step):
    table, _, union = STEPS[step]
    assert {type(seen) for seen, _ in table} == set(get_args(union))


def test_deciding_reaches_for_no_clock_no_random_and_no_network():
    tree = ast.parse(inspect.getsource(longhaul.jobs.decider))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {
        "__future__",
        "dataclasses",
        "typing",
        "longhaul.jobs.job",
        "longhaul.scraperapi.models",
        "longhaul.work.decisions",
    }
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


class TestDeadline:
    @pytest.mark.parametrize("now", [AT_DEADLINE, AT_DEADLINE + 5000])
    @pytest.mark.parametrize(("seen", "decision"), POLL, ids=lambda value: repr(value)[:60])
    def test_at_the_deadline_a_poll_leads_to_an_end_whatever_it_sees(self, seen, decision, now):
        last = DECIDER.after_poll(a_job(), seen, now)
        if isinstance(decision, Finish | Fail | Cancel):
            assert last == decision
        elif isinstance(decision, Retry):
            assert last == Expire("not finished within 72 hours; last: the remote's answer is malformed: not JSON")
        elif seen == NotFound():
            assert last == Expire("not finished within 72 hours")
        else:
            assert last == Expire("not finished within 72 hours")

    def test_just_before_the_deadline_there_is_one_more_poll_and_it_is_on_time(self):
        assert DECIDER.after_poll(a_job(), Running(), AT_DEADLINE - 1) == Snooze(AT_DEADLINE, alive=True)

    def test_a_retried_poll_is_not_later_than_the_deadline(self):
        decision = DECIDER.after_poll(a_job(attempts=8), Malformed("x"), AT_DEADLINE - 1)
        assert decision == Retry(AT_DEADLINE, "the remote's answer is malformed: x")

    @pytest.mark.parametrize(
        "seen", [Unreachable("x"), RemoteTrouble(503, "x"), RemoteTrouble(500, "x"), Interrupted("x")]
    )
    def test_another_submission_is_not_later_than_the_deadline(self, seen):
        decision = DECIDER.after_send(a_job(attempts=8), seen, AT_DEADLINE - 1)
        assert decision.due == AT_DEADLINE

    @pytest.mark.parametrize("seen", [seen for seen, _ in CANCEL], ids=lambda value: repr(value)[:60])
    def test_at_the_deadline_a_cancellation_ends_whatever_it_sees(self, seen):
        assert DECIDER.after_cancel(a_job(), seen, AT_DEADLINE) == Cancel()

    def test_accepted_after_the_deadline_is_polled_at_once_for_the_last_time(self):
        assert DECIDER.after_send(a_job(), Accepted("r"), AT_DEADLINE + 3) == Sent("r", AT_DEADLINE + 3)

    def test_a_job_that_waits_to_be_sent_and_is_cancelled_ends_as_cancelled(self):
        assert DECIDER.after_send(a_job(cancelled=True), NothingAsked(), LATER) == Cancel()

    def test_the_words_name_the_deadline_that_is_set(self):
        decider = JobDecider(default_policies(deadline=5400))
        assert decider.after_send(a_job(), NothingAsked(), START + 5400) == Expire(
            "not accepted by the remote within 1.5 hours"
        )

    @given(
        st.floats(0, 80 * HOUR),
        st.integers(0, 12),
        st.integers(0, 20),
        st.sampled_from(POLL + SEND),
        st.text(max_size=5),
    )
    def test_nothing_is_ever_due_before_now_or_after_the_deadline(self, age, attempts, polls, case, id_):
        job = a_job(id=id_.encode("utf-8", "replace").decode(), attempts=attempts, polls=polls)
        now = START + age
        decider = JobDecider(default_policies())
        for decide in (decider.after_send, decider.after_poll):
            if (decide == decider.after_send) == (case in SEND):
                decision = decide(job, case[0], now)
                if isinstance(decision, Sent | Snooze | Retry):
                    assert now <= decision.due <= max(AT_DEADLINE, now)


class TestGrace:
    @pytest.mark.parametrize("age", [0, 1, 59.9])
    def test_a_404_in_the_first_minute_is_not_believed(self, age):
        assert isinstance(DECIDER.after_poll(a_job(), NotFound(), START + age), Snooze)

    @pytest.mark.parametrize("age", [60, 61, 10_000])
    def test_a_404_after_it_is(self, age):
        assert DECIDER.after_poll(a_job(), NotFound(), START + age) == Resend()

    def test_the_minute_begins_with_the_latest_submission(self):
        assert isinstance(DECIDER.after_poll(a_job(sent=LATER), NotFound(), LATER + 59), Snooze)

    def test_gone_is_believed_at_once(self):
        assert DECIDER.after_poll(a_job(), NotFound(gone=True), START) == Resend()


class TestResubmitting:
    @pytest.mark.parametrize("gone", [True, False])
    @pytest.mark.parametrize(
        ("resubmit", "losses", "decision"),
        [
            (0, 0, Expire("the remote lost the result once; resubmit=0")),
            (1, 0, Resend()),
            (1, 1, Expire("the remote lost the result 2 times; resubmit=1")),
            (3, 2, Resend()),
            (3, 3, Expire("the remote lost the result 4 times; resubmit=3")),
        ],
    )
    def test_a_lost_job_is_submitted_again_as_often_as_its_caller_allows(self, gone, resubmit, losses, decision):
        assert DECIDER.after_poll(a_job(resubmit=resubmit, losses=losses), NotFound(gone=gone), LATER) == decision


class TestAttempts:
    def test_the_pauses_between_attempts_double_up_to_five_minutes_and_the_tenth_is_the_last(self):
        decisions = [DECIDER.after_send(a_job(attempts=n), Interrupted("reset"), LATER) for n in range(10)]
        assert [round(decision.due - LATER) for decision in decisions[:-1]] == [5, 10, 20, 40, 80, 160, 300, 300, 300]
        assert decisions[-1] == Fail("gave up after 10 attempts; last: the submission broke off: reset", attempts=1)

    def test_attempts_bound_malformed_polls_as_well(self):
        assert DECIDER.after_poll(a_job(attempts=9), Malformed("x"), LATER) == Fail(
            "gave up after 10 attempts; last: the remote's answer is malformed: x",
            attempts=1,
        )

    @pytest.mark.parametrize("seen", [Running(), Unreachable("x"), Interrupted("x"), RemoteTrouble(500, "x")])
    def test_what_is_free_is_not_bounded_by_attempts(self, seen):
        assert isinstance(DECIDER.after_poll(a_job(attempts=99), seen, LATER), Snooze)


def test_every_decision_is_frozen():
    for kind in (Sent, Snooze, Retry, Resend, Finish, Fail, Expire, Cancel, Pause):
        assert kind.__dataclass_params__.frozen
        assert all(field.name for field in fields(kind)) or kind in {Resend, Cancel}
