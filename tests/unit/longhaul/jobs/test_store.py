"""The ledger's verbs for jobs on a real server, with a clock that the tests set."""

import json

import pytest

from longhaul.jobs.decider import Finish, Resend
from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.due import StoredResult
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.balance import balance
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze
from longhaul.work.item import State
from tests.builders import HOUR, START, Clock, a_store, a_submission, claim_one, envelopes, finished, submit

RESULT = Finish(finished("hello").response)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(redis, clock):
    return a_store(redis, clock)


def apply(store, step, job, decision, now=None):
    (applied,) = store.apply(step, [(job, decision)], store.now() if now is None else now)
    return applied.written


def running(store, *ids):
    """Jobs that the remote has taken, their first look due now."""
    submit(store, *ids)
    for job in store.claim(JobStep.SEND, "default").jobs:
        assert apply(store, JobStep.SEND, job, Sent(f"remote-{job.id}", store.now())) == "moved"


def balanced(store, **states):
    found = balance(store.books())
    assert found.faults == []
    assert {state.value: count for state, count in found.states.items() if count} == states


class TestSubmit:
    def test_a_job_is_recorded_whole_and_comes_back_whole(self, store):
        wanted = a_submission(
            meta={"m": ["\ud800", "ä"]}, queue="q", account="second", resubmit=4, callback="https://us.test"
        )
        request = ScrapeRequest("https://example.com/ä", "POST", {"A": "b"}, "body \ud800", {"render": True}, 9)
        wanted = type(wanted)(request, wanted.meta, wanted.queue, wanted.account, wanted.resubmit, wanted.callback)
        assert store.submit([("a", wanted)], tracked=True) == 1
        job = store.get("a")
        assert (job.state, job.request, job.meta, job.queue) == (State.QUEUED, request, wanted.meta, "q")
        assert (job.account, job.resubmit, job.callback, job.tracked, job.created) == (
            "second",
            4,
            "https://us.test",
            True,
            START,
        )

    def test_a_message_delivered_twice_is_one_job(self, store):
        submit(store, "a")
        assert store.submit([("a", a_submission("https://other.test"))], tracked=False) == 0
        assert store.get("a").request.url == "https://example.com/"
        balanced(store, queued=1)

    def test_a_message_delivered_again_after_the_end_changes_nothing(self, store, redis):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), RESULT)
        assert store.submit([("a", a_submission())], tracked=False) == 0
        assert len(envelopes(redis)) == 1
        balanced(store, finished=1)

    def test_a_batch_of_many_chunks_is_recorded_once_even_when_it_is_delivered_after_a_crash_in_the_middle(self, store):
        many = [(f"t.{n}", a_submission()) for n in range(1201)]
        assert store.submit(many[:500], tracked=False) == 500
        assert store.submit(many, tracked=False) == 701
        balanced(store, queued=1201)


class TestPhases:
    def test_claimed_jobs_carry_what_their_step_needs_and_no_more(self, store):
        wanted = a_submission(meta={"a": 1})
        request = ScrapeRequest("https://e.test/", headers={"A": "secret"})
        store.submit([("a", type(wanted)(request, {"a": 1}))], tracked=False)
        sending = claim_one(store, JobStep.SEND)
        assert (sending.request, sending.submissions) == (request, 1)
        apply(store, JobStep.SEND, sending, Sent("r", START))
        looking = claim_one(store, JobStep.POLL)
        assert (looking.request.url, looking.request.headers, looking.meta) == ("https://e.test/", {}, {"a": 1})

    def test_sent_is_running_with_its_remote_id_and_a_look_to_come(self, store, clock):
        submit(store, "a")
        assert apply(store, JobStep.SEND, claim_one(store, JobStep.SEND), Sent("r1", START + 2)) == "moved"
        job = store.get("a")
        assert (job.state, job.remote_id, job.sent, job.submissions, job.polls) == (State.RUNNING, "r1", START, 1, 0)
        assert store.claim(JobStep.POLL, "default").jobs == []
        clock.now += 2
        assert claim_one(store, JobStep.POLL).id == "a"

    def test_a_snoozed_look_costs_a_poll_and_no_attempt(self, store):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Snooze(START))
        job = store.get("a")
        assert (job.polls, job.attempts, job.submissions) == (1, 0, 1)

    def test_a_retried_look_costs_both(self, store):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Retry(START, "x"))
        job = store.get("a")
        assert (job.polls, job.attempts) == (1, 1)

    def test_a_submission_that_did_not_arrive_is_not_counted(self, store):
        submit(store, "a")
        apply(store, JobStep.SEND, claim_one(store, JobStep.SEND), Snooze(START))
        job = store.get("a")
        assert (job.submissions, job.attempts, job.state) == (0, 0, State.QUEUED)

    def test_a_submission_that_may_have_arrived_is_counted(self, store, clock):
        submit(store, "a")
        apply(store, JobStep.SEND, claim_one(store, JobStep.SEND), Retry(START, "x"))
        assert (store.get("a").submissions, store.get("a").attempts) == (1, 1)
        claim_one(store, JobStep.SEND)
        clock.now += 120
        assert claim_one(store, JobStep.SEND).submissions == 3

    def test_a_lost_job_is_queued_again_without_its_remote_id(self, store):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Resend())
        job = claim_one(store, JobStep.SEND)
        assert (job.state, job.remote_id, job.sent, job.losses, job.submissions) == (State.QUEUED, None, None, 1, 2)
        balanced(store, queued=1)

    def test_a_lost_job_is_not_judged_by_the_looks_at_its_former_submission(self, store):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Snooze(START, alive=True))
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Resend())
        assert store._due.get("a").fields["polled"] == ""

    @pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
    def test_a_held_job_loses_nothing_and_is_due_by_its_age_when_the_pause_ends(self, store, clock, step):
        (running if step is JobStep.POLL else submit)(store, "a", "b")
        jobs = store.claim(step, "default").jobs
        before = (store.get("a").polls, store.get("a").attempts)
        clock.now += 5
        store.apply(
            step, [(job, Pause(START + at, "HTTP 401")) for job, at in zip(jobs, (20, 35), strict=True)], clock.now
        )
        job = store.get("a")
        assert (job.polls, job.attempts, job.submissions) == (*before, 1 if step is JobStep.POLL else 0)
        (lane,) = [lane for lane in store.books().lanes if lane.name == f"{step}:default"]
        assert (lane.paused_until, lane.reason, lane.oldest, lane.due) == (START + 35, "HTTP 401", START, 2)
        assert store.claim(step, "default").jobs == []
        clock.now = START + 35
        assert claim_one(store, step).pauses == 1

    def test_pauses_of_one_account_and_step_leave_the_others_alone(self, store):
        running(store, "a")
        store.submit([("b", a_submission(account="second")), ("c", a_submission())], tracked=False)
        apply(store, JobStep.SEND, claim_one(store, JobStep.SEND), Pause(START + 9, "x"))
        assert [job.id for job in store.claim(JobStep.SEND, "second").jobs] == ["b"]
        assert claim_one(store, JobStep.POLL).id == "a"

    @pytest.mark.parametrize(
        ("decision", "state"),
        [(RESULT, "finished"), (Fail("why"), "failed"), (Expire("late"), "expired"), (Cancel(), "cancelled")],
    )
    @pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
    def test_every_end_is_one_envelope_and_the_request_is_gone(self, store, redis, step, decision, state):
        (running if step is JobStep.POLL else submit)(store, "a")
        job = claim_one(store, step)
        assert [apply(store, step, job, decision) for _ in range(3)] == ["finished", "ended", "ended"]
        (envelope,) = envelopes(redis)
        assert (envelope["id"], envelope["status"], envelope["submissions"]) == (
            "a",
            state,
            1 if step is JobStep.POLL else 0,
        )
        assert not [key for key in redis.scan_iter() if key.endswith(":a") and ":record:" not in key]
        balanced(store, **{state: 1})

    def test_envelopes_go_to_the_jobs_own_queue(self, store, redis):
        submit(store, "a", queue="own")
        apply(store, JobStep.SEND, claim_one(store, JobStep.SEND), Fail("x"))
        assert (len(envelopes(redis, "own")), len(envelopes(redis))) == (1, 0)

    def test_a_body_with_a_lone_surrogate_reaches_the_queue(self, store, redis):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Finish(finished("\ud800 ä").response))
        assert envelopes(redis)[0]["body"] == "\ud800 ä"

    def test_only_who_may_be_waited_for_leaves_a_note(self, redis, clock):
        store = JobStore(
            redis, JobLimits(), lambda id_, document: StoredResult(f"note-{id_}", document["status"], 60), clock
        )
        for id_, tracked in (("a", True), ("b", False)):
            store.submit([(id_, a_submission())], tracked=tracked)
        store.apply(JobStep.SEND, [(job, Fail("x")) for job in store.claim(JobStep.SEND, "default").jobs], START)
        assert (redis.get("note-a"), redis.get("note-b")) == ("failed", None)

    def test_what_became_of_each_decision_is_told(self, store):
        running(store, "a", "b")
        one, two = store.claim(JobStep.POLL, "default").jobs
        done = store.apply(JobStep.POLL, [(one, RESULT), (two, Snooze(START)), (two, Snooze(START))], START + 1)
        assert [(applied.job.id, applied.written, applied.now) for applied in done] == [
            (one.id, "finished", START + 1),
            (two.id, "moved", START + 1),
            (two.id, "stale", START + 1),
        ]
        assert done[0].document["body"] == "hello"
        assert done[1].document is None


class TestCancel:
    def cancelled(self, store):
        job = claim_one(store, JobStep.CANCEL)
        assert job.cancelled
        assert apply(store, JobStep.CANCEL, job, Cancel()) == "finished"
        balanced(store, cancelled=1)

    def test_a_queued_job(self, store):
        submit(store, "a")
        assert store.cancel("a") == ("marked", "default")
        assert store.claim(JobStep.SEND, "default").jobs == []
        self.cancelled(store)

    def test_a_running_job(self, store):
        running(store, "a")
        store.cancel("a")
        assert store.claim(JobStep.POLL, "default").jobs == []
        self.cancelled(store)

    @pytest.mark.parametrize(
        ("step", "decision"),
        [(JobStep.SEND, Sent("r", START + 5)), (JobStep.POLL, Snooze(START + 5)), (JobStep.POLL, Resend())],
    )
    def test_a_job_under_claim_goes_on_to_be_cancelled_when_its_claimant_is_done(self, store, step, decision):
        (running if step is JobStep.POLL else submit)(store, "a")
        job = claim_one(store, step)
        store.cancel("a")
        assert store.claim(JobStep.CANCEL, "default").jobs == []
        assert apply(store, step, job, decision) == "moved"
        self.cancelled(store)

    def test_a_job_under_claim_whose_result_has_just_been_read_is_finished(self, store):
        running(store, "a")
        job = claim_one(store, JobStep.POLL)
        store.cancel("a")
        assert apply(store, JobStep.POLL, job, RESULT) == "finished"
        assert store.cancel("a") == ("finished", "")
        balanced(store, finished=1)

    @pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
    def test_a_job_whose_claimant_died(self, store, clock, step):
        (running if step is JobStep.POLL else submit)(store, "a")
        claim_one(store, step)
        store.cancel("a")
        clock.now += 120
        assert store.claim(step, "default").jobs == []
        self.cancelled(store)

    def test_a_cancellation_whose_claimant_died_is_made_again(self, store, clock):
        running(store, "a")
        store.cancel("a")
        claim_one(store, JobStep.CANCEL)
        clock.now += 120
        self.cancelled(store)

    def test_an_unknown_job_is_missing(self, store):
        assert store.cancel("nobody") == ("missing", "")


class TestPressure:
    def test_looks_wait_for_a_full_queue_and_submissions_do_not(self, redis, clock):
        store = a_store(redis, clock, high_entries=2)
        running(store, "a")
        for _ in range(2):
            redis.xadd(stream("results"), {"envelope": "{}"})
        submit(store, "b")
        assert store.claim(JobStep.POLL, "default").jobs == []
        assert claim_one(store, JobStep.SEND).id == "b"
        redis.delete(stream("results"))
        clock.now += 30
        assert claim_one(store, JobStep.POLL).id == "a"

    def test_a_job_that_could_never_be_looked_at_is_read_within_its_24_guaranteed_hours(self, redis, clock):
        store = a_store(redis, clock, high_entries=1)
        running(store, "a")
        redis.xadd(stream("results"), {"envelope": "{}"})
        while not store.claim(JobStep.POLL, "default").jobs:
            clock.now += 600
        assert clock.now - START <= 22 * HOUR + 600


class TestDispatch:
    def test_batches_are_started_for_the_accounts_that_have_due_work(self, redis, clock):
        store = a_store(redis, clock, batch_size=2, max_batches=4)
        submit(store, "a", "b", "c")
        started = store.dispatch(JobStep.SEND)
        assert [account for account, _ in started] == ["default", "default"]
        assert store.dispatch(JobStep.SEND) == []
        for account, token in started:
            store.claim(JobStep.SEND, account, token)
            store.leave(JobStep.SEND, token)
        assert redis.zcard("longhaul:{jobs}:working:send") == redis.zcard("longhaul:{jobs}:started:send") == 0

    def test_an_account_may_have_a_colon(self, store):
        store.submit([("a", a_submission(account="my:account"))], tracked=False)
        ((account, _),) = store.dispatch(JobStep.SEND)
        assert account == "my:account"
        (job,) = store.claim(JobStep.SEND, account).jobs
        assert job.account == "my:account"


def test_a_waiting_job_takes_at_most_1_kb(redis, clock):
    store = a_store(redis, clock, batch_size=2000)
    empty = redis.info("memory")["used_memory_dataset"]
    count = 2000
    wanted = a_submission("https://example.com/" + "x" * 80, meta={"n": 1})
    store.submit([(f"8a6e1c0e-6f6b-4a0e-9d0f-3f1f7d6f0f{n:04d}", wanted) for n in range(count)], tracked=True)
    queued = redis.info("memory")["used_memory_dataset"]
    jobs = store.claim(JobStep.SEND, "default").jobs
    store.apply(
        JobStep.SEND, [(job, Sent(f"11111111-2222-4333-8444-{job.id[-12:]}", START + 2)) for job in jobs], START
    )
    clock.now += 2
    jobs = store.claim(JobStep.POLL, "default").jobs
    assert len(jobs) == count
    store.apply(JobStep.POLL, [(job, Snooze(START + 5)) for job in jobs], clock.now)
    waiting = redis.info("memory")["used_memory_dataset"]
    assert (queued - empty) / count <= 1024
    assert (waiting - empty) / count <= 1024


def test_the_books_are_the_same_for_a_store_opened_later(redis, clock, store):
    running(store, "a", "b")
    apply(store, JobStep.POLL, store.claim(JobStep.POLL, "default").jobs[0], RESULT)
    assert a_store(redis, clock).books() == store.books()


def test_an_envelope_is_plain_json_in_one_field(store, redis):
    running(store, "a")
    apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), RESULT)
    ((_, fields),) = redis.xrange(stream("results"))
    assert list(fields) == ["envelope"]
    assert json.loads(fields["envelope"])["kind"] == "job"
