"""The server does what it is told, and its reply never arrives; and a writer that comes too late."""

from dataclasses import replace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from longhaul.jobs.decider import Finish
from longhaul.jobs.job import JobStep
from longhaul.jobs.pushes import PushOutcome
from longhaul.work.decisions import Fail
from longhaul.work.durable_write import write_decisions
from longhaul.work.item import State
from tests.builders import START, a_submission, finished
from tests.flow.conftest import LEASE
from tests.flow.scraper import result
from tests.wire import Reply

A = "https://example.com/a"


def rewritten(world, job, decision):
    """What becomes of a decision on `job`, whose fence may be an old one."""
    (applied,) = write_decisions(world.store, JobStep.POLL, [(job, decision)], START)
    return applied.written


class LosesReplies:
    """A store whose server does what it is told, and whose `n`-th reply to `name` never arrives."""

    def __init__(self, store, name, n=1):
        self._store, self._name, self._left = store, name, n

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if name != self._name:
            return found

        def call(*args, **kwargs):
            answer = found(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                raise RedisConnectionError("the reply is lost")
            return answer

        return call


class TestLostReplies:
    def test_of_a_submission(self, world):
        with pytest.raises(RedisConnectionError):
            LosesReplies(world.store, "submit").submit([("a", a_submission(A))], tracked=False)
        world.store.submit([("a", a_submission(A))], tracked=False)
        world.bring_home()
        assert world.scraper.posts[A] == 1
        assert list(world.results()) == ["a"]

    @pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
    def test_of_a_claim(self, world, step):
        (world.send if step is JobStep.POLL else world.submit)("a")
        with pytest.raises(RedisConnectionError):
            replace(world.runner, store=LosesReplies(world.store, "claim")).run(step, "default")
        world.clock.now += LEASE
        world.bring_home()
        assert world.scraper.posts[A] == 1
        assert list(world.results()) == ["a"]

    @pytest.mark.parametrize(("step", "polls"), [(JobStep.SEND, 0), (JobStep.POLL, 1)])
    def test_of_a_write(self, fresh, step, polls):
        world = fresh(polls)
        (world.send if step is JobStep.POLL else world.submit)("a")
        runner = replace(world.runner, store=LosesReplies(world.store, "apply"))
        if step is JobStep.POLL:
            with pytest.raises(RedisConnectionError):
                runner.run(step, "default")
        else:
            # A remote's id has cost credits: it is written again, and the second writing finds the first.
            assert runner.run(step, "default").late == 1
        world.bring_home()
        # What was written stands: nothing was read or billed a second time.
        assert (world.scraper.posts[A], world.scraper.reads[A]) == (1, 1)
        assert list(world.results()) == ["a"]

    def test_of_the_write_of_a_result(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        replace(world.runner, store=LosesReplies(world.store, "apply")).run(JobStep.POLL, "default")
        assert world.results()["a"]["body"] == f"body of {A}"

    def test_a_ledger_that_stays_away_ends_the_batch_after_its_lease(self, fresh):
        world = fresh(polls=0, lease=1.0)
        world.send("a")

        class Away:
            limits = world.store.limits

            def __getattr__(self, name):
                return getattr(world.store, name)

            def apply(self, *_):
                raise RedisConnectionError("away")

        with pytest.raises(RedisConnectionError, match=r"^away$"):
            replace(world.runner, store=Away()).run(JobStep.POLL, "default")
        world.clock.now += 100
        world.bring_home()
        assert world.results()["a"]["submissions"] == 2

    @pytest.mark.parametrize(
        "trouble", [RedisTimeoutError("away"), OutOfMemoryError("full"), ReadOnlyError("a replica")]
    )
    def test_a_result_in_hand_outlasts_a_ledger_that_takes_no_writes(self, fresh, trouble):
        world = fresh(polls=0)
        world.send("a")

        class Refusing:
            calls = 0
            limits = world.store.limits

            def __getattr__(self, name):
                return getattr(world.store, name)

            def apply(self, *args):
                self.calls += 1
                if self.calls == 1:
                    raise trouble
                return world.store.apply(*args)

        report = replace(world.runner, store=Refusing()).run(JobStep.POLL, "default")
        assert report.counts == {"finish": 1}
        assert (world.results()["a"]["submissions"], world.scraper.posts[A]) == (1, 1)

    def test_a_batch_that_raises_gives_its_token_back(self, fresh):
        world = fresh(polls=1)
        world.send("a")
        ((account, token),) = world.store.dispatch(JobStep.POLL)
        with pytest.raises(RedisConnectionError):
            replace(world.runner, store=LosesReplies(world.store, "apply")).run(JobStep.POLL, account, token)
        assert world.redis.zrange("longhaul:{jobs}:working:poll", 0, -1) == []

    def test_of_a_post(self, fresh):
        world = fresh(polls=0)
        world.submit("a")
        lost = []

        def before(ask):
            if ask.method == "POST" and not lost:
                lost.append(world.scraper.post(ask))
                return Reply(hang_up=True)
            return None

        world.scraper.before = before
        world.run(JobStep.SEND)
        job = world.store.get("a")
        assert (job.state, job.attempts, job.submissions) == (State.QUEUED, 1, 1)
        world.bring_home()
        (envelope,) = world.results().values()
        assert (envelope["submissions"], envelope["attempts"], world.scraper.posts[A]) == (2, 1, 2)

    def test_of_a_post_whose_result_is_pushed_before_it_is_sent_again(self, fresh):
        world = fresh(polls=0)
        world.submit("a", callback="https://us.test")
        world.scraper.before = lambda ask: world.scraper.post(ask) and Reply(hang_up=True)
        world.run(JobStep.SEND)
        assert world.pushes.take("a", result("remote-1", A)) is PushOutcome.TAKEN
        assert world.results()["a"]["body"] == f"body of {A}"
        world.scraper.before = lambda _: None
        world.clock.now += 1000
        world.run(JobStep.SEND)
        assert world.scraper.posts[A] == 1


class TestFence:
    def test_a_late_reader_with_a_result_in_hand_still_brings_it_home(self, fresh):
        world = fresh(polls=0)
        world.send("a")

        class Slow:
            """Its lease ends while it holds the result; another batch polls, finds nothing, and has the job submitted
            again.
            """

            def act(self, *args):
                for group in world.runner.remote.act(*args):
                    world.clock.now += LEASE + 1
                    world.run(JobStep.POLL)
                    assert world.store.get("a").state is State.QUEUED
                    yield group

        report = replace(world.runner, remote=Slow()).run(JobStep.POLL, "default")
        assert (report.counts, report.late) == ({"finish": 1}, 0)
        assert world.results()["a"]["body"] == f"body of {A}"
        world.run(JobStep.SEND)
        assert world.scraper.posts[A] == 1

    def test_a_late_writer_without_a_result_is_fenced_off(self, fresh):
        world = fresh(polls=5)
        world.send("a")

        class Slow:
            def act(self, *args):
                for group in world.runner.remote.act(*args):
                    world.clock.now += LEASE + 1
                    world.run(JobStep.POLL)
                    yield group

        report = replace(world.runner, remote=Slow()).run(JobStep.POLL, "default")
        assert (report.counts, report.late) == ({}, 1)
        assert world.store.get("a").polls == 2

    def test_a_late_failure_of_the_present_submission_is_written_again_and_a_former_ones_is_not(self, fresh):
        for same in (True, False):
            world = fresh(polls=0)
            world.send("a")
            job = world.store.get("a")
            seen = replace(job, fence=job.fence - 1, remote_id=job.remote_id if same else "remote-0")
            (applied,) = world.store.apply(JobStep.POLL, [(seen, Fail("timeout"))], START)
            assert applied.written == "stale"
            assert rewritten(world, seen, Fail("timeout")) == ("finished" if same else "stale")

    def test_writing_again_ends_when_the_job_has_ended(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        job = world.store.get("a")
        decision = Finish(finished().response)
        stale = replace(job, fence=job.fence - 1)
        (applied,) = world.store.apply(JobStep.POLL, [(stale, decision)], START)
        assert applied.written == "stale"
        world.store.apply(JobStep.POLL, [(job, Fail("x"))], START)
        assert rewritten(world, stale, decision) == "ended"
        assert world.results()["a"]["status"] == "failed"
