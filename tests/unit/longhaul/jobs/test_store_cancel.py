"""Cancelling, back-pressure and dispatch of jobs on a real server."""

import pytest

from longhaul.jobs.decider import Finish, Resend
from longhaul.jobs.job import JobStep
from longhaul.ledger.results import stream
from longhaul.work.decisions import Cancel, Sent, Snooze
from tests.builders import HOUR, START, a_store, a_submission, claim_one, finished, submit
from tests.unit.longhaul.jobs.stores import apply, balanced, running

RESULT = Finish(finished("hello").response)


class TestCancel:
    def cancelled(self, store):
        job = claim_one(store, JobStep.CANCEL)
        assert job.cancelled
        assert apply(store, JobStep.CANCEL, job, Cancel()) == "finished"
        balanced(store, cancelled=1)

    def test_a_queued_job(self, store):
        submit(store, "a")
        assert store.cancel("a") == ("marked", "default")
        assert store.claim(JobStep.SEND, "default").items == []
        self.cancelled(store)

    def test_a_running_job(self, store):
        running(store, "a")
        store.cancel("a")
        assert store.claim(JobStep.POLL, "default").items == []
        self.cancelled(store)

    @pytest.mark.parametrize(
        ("step", "decision"),
        [(JobStep.SEND, Sent("r", START + 5)), (JobStep.POLL, Snooze(START + 5)), (JobStep.POLL, Resend())],
    )
    def test_a_job_under_claim_goes_on_to_be_cancelled_when_its_claimant_is_done(self, store, step, decision):
        (running if step is JobStep.POLL else submit)(store, "a")
        job = claim_one(store, step)
        store.cancel("a")
        assert store.claim(JobStep.CANCEL, "default").items == []
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
        assert store.claim(step, "default").items == []
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
    def test_polls_wait_for_a_full_queue_and_submissions_do_not(self, redis, clock):
        store = a_store(redis, clock, high_entries=2)
        running(store, "a")
        for _ in range(2):
            redis.xadd(stream("results"), {"envelope": "{}"})
        submit(store, "b")
        assert store.claim(JobStep.POLL, "default").items == []
        assert claim_one(store, JobStep.SEND).id == "b"
        redis.delete(stream("results"))
        clock.now += 30
        assert claim_one(store, JobStep.POLL).id == "a"

    def test_a_job_that_could_never_be_polled_is_read_within_its_24_guaranteed_hours(self, redis, clock):
        store = a_store(redis, clock, high_entries=1)
        running(store, "a")
        redis.xadd(stream("results"), {"envelope": "{}"})
        while not store.claim(JobStep.POLL, "default").items:
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
        (job,) = store.claim(JobStep.SEND, account).items
        assert job.account == "my:account"
