"""The ledger's verbs for jobs on a real server, with a clock that the tests set."""

import json

import pytest

from longhaul.jobs.decider import Finish, Resend
from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobStore
from longhaul.ledger.due import StoredResult
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze
from longhaul.work.item import State
from tests.builders import START, a_store, a_submission, claim_one, envelopes, finished, job_limits, submit
from tests.unit.longhaul.jobs.stores import apply, balanced, running

RESULT = Finish(finished("hello").response)


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

    def test_sent_is_running_with_its_remote_id_and_a_poll_to_come(self, store, clock):
        submit(store, "a")
        assert apply(store, JobStep.SEND, claim_one(store, JobStep.SEND), Sent("r1", START + 2)) == "moved"
        job = store.get("a")
        assert (job.state, job.remote_id, job.sent, job.submissions, job.polls) == (State.RUNNING, "r1", START, 1, 0)
        assert store.claim(JobStep.POLL, "default").items == []
        clock.now += 2
        assert claim_one(store, JobStep.POLL).id == "a"

    def test_a_snoozed_poll_costs_a_poll_and_no_attempt(self, store):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Snooze(START))
        job = store.get("a")
        assert (job.polls, job.attempts, job.submissions) == (1, 0, 1)

    def test_a_retried_poll_costs_both(self, store):
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

    def test_a_lost_job_is_not_judged_by_the_polls_at_its_former_submission(self, store):
        running(store, "a")
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Snooze(START, alive=True))
        apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), Resend())
        assert store._due.get("a").fields["polled"] == ""

    @pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
    def test_a_held_job_loses_nothing_and_is_due_by_its_age_when_the_pause_ends(self, store, clock, step):
        (running if step is JobStep.POLL else submit)(store, "a", "b")
        jobs = store.claim(step, "default").items
        before = (store.get("a").polls, store.get("a").attempts)
        clock.now += 5
        store.apply(
            step, [(job, Pause(START + at, "HTTP 401")) for job, at in zip(jobs, (20, 35), strict=True)], clock.now
        )
        job = store.get("a")
        assert (job.polls, job.attempts, job.submissions) == (*before, 1 if step is JobStep.POLL else 0)
        (lane,) = [lane for lane in store.books().lanes if lane.name == f"{step}:default"]
        assert (lane.paused_until, lane.reason, lane.oldest, lane.due) == (START + 35, "HTTP 401", START, 2)
        assert store.claim(step, "default").items == []
        clock.now = START + 35
        assert claim_one(store, step).pauses == 1

    def test_pauses_of_one_account_and_step_leave_the_others_alone(self, store):
        running(store, "a")
        store.submit([("b", a_submission(account="second")), ("c", a_submission())], tracked=False)
        apply(store, JobStep.SEND, claim_one(store, JobStep.SEND), Pause(START + 9, "x"))
        assert [job.id for job in store.claim(JobStep.SEND, "second").items] == ["b"]
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
            redis, job_limits(), lambda id_, document: StoredResult(f"note-{id_}", document["status"], 60), clock
        )
        for id_, tracked in (("a", True), ("b", False)):
            store.submit([(id_, a_submission())], tracked=tracked)
        store.apply(JobStep.SEND, [(job, Fail("x")) for job in store.claim(JobStep.SEND, "default").items], START)
        assert (redis.get("note-a"), redis.get("note-b")) == ("failed", None)

    def test_what_became_of_each_decision_is_told(self, store):
        running(store, "a", "b")
        one, two = store.claim(JobStep.POLL, "default").items
        done = store.apply(JobStep.POLL, [(one, RESULT), (two, Snooze(START)), (two, Snooze(START))], START + 1)
        assert [(applied.item.id, applied.written, applied.now) for applied in done] == [
            (one.id, "finished", START + 1),
            (two.id, "moved", START + 1),
            (two.id, "stale", START + 1),
        ]
        assert done[0].document["body"] == "hello"
        assert done[1].document is None


def test_a_waiting_job_takes_at_most_1_kb(redis, clock):
    store = a_store(redis, clock, batch_size=2000)
    empty = redis.info("memory")["used_memory_dataset"]
    count = 2000
    wanted = a_submission("https://example.com/" + "x" * 80, meta={"n": 1})
    store.submit([(f"8a6e1c0e-6f6b-4a0e-9d0f-3f1f7d6f0f{n:04d}", wanted) for n in range(count)], tracked=True)
    queued = redis.info("memory")["used_memory_dataset"]
    jobs = store.claim(JobStep.SEND, "default").items
    store.apply(
        JobStep.SEND, [(job, Sent(f"11111111-2222-4333-8444-{job.id[-12:]}", START + 2)) for job in jobs], START
    )
    clock.now += 2
    jobs = store.claim(JobStep.POLL, "default").items
    assert len(jobs) == count
    store.apply(JobStep.POLL, [(job, Snooze(START + 5)) for job in jobs], clock.now)
    waiting = redis.info("memory")["used_memory_dataset"]
    assert (queued - empty) / count <= 1024
    assert (waiting - empty) / count <= 1024


def test_the_books_are_the_same_for_a_store_opened_later(redis, clock, store):
    running(store, "a", "b")
    apply(store, JobStep.POLL, store.claim(JobStep.POLL, "default").items[0], RESULT)
    assert a_store(redis, clock).books() == store.books()


def test_an_envelope_is_plain_json_in_one_field(store, redis):
    running(store, "a")
    apply(store, JobStep.POLL, claim_one(store, JobStep.POLL), RESULT)
    ((_, fields),) = redis.xrange(stream("results"))
    assert list(fields) == ["envelope"]
    assert json.loads(fields["envelope"])["kind"] == "job"
