"""What the remote pushes, beside what is looked at."""

from dataclasses import replace

import pytest

from longhaul.jobs.decider import Resend
from longhaul.jobs.job import JobStep
from longhaul.jobs.pushes import PushOutcome
from longhaul.work.item import State
from tests.flow.scraper import result

A = "https://example.com/a"


class TestPushes:
    def test_a_push_before_a_poll(self, world):
        world.send("a")
        assert world.pushes.take("a", result("remote-1", A)) is PushOutcome.TAKEN
        world.clock.now += 1000
        assert world.runner.run(JobStep.POLL, "default").claimed == 0
        assert world.results()["a"]["body"] == f"body of {A}"

    def test_a_push_after_the_end_is_a_no_op(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        world.run(JobStep.POLL)
        assert world.pushes.take("a", result("remote-1", A) | {"status": "failed"}) is PushOutcome.TAKEN
        assert world.results()["a"]["status"] == "finished"

    def test_a_push_that_comes_between_the_reading_and_the_end(self, fresh):
        world = fresh(polls=0)
        world.send("a")

        class Pushing:
            def act(self, *args):
                for group in world.runner.remote.act(*args):
                    assert world.pushes.take("a", result("remote-1", A))
                    yield group

        report = replace(world.runner, remote=Pushing()).run(JobStep.POLL, "default")
        assert (report.late, report.counts) == (1, {})
        assert list(world.results()) == ["a"]

    def test_a_claim_that_comes_between_a_pushs_reading_and_its_end(self, world):
        world.send("a")

        class Claiming:
            def __getattr__(self, name):
                return getattr(world.store, name)

            def get(self, job_id):
                job = world.store.get(job_id)
                world.store.claim(JobStep.POLL, "default")
                return job

        assert replace(world.pushes, store=Claiming()).take("a", result("remote-1", A)) is PushOutcome.TAKEN
        assert world.results()["a"]["body"] == f"body of {A}"

    def test_a_push_of_a_failure_ends_the_job_with_its_reason(self, world):
        world.send("a")
        assert (
            world.pushes.take("a", {"id": "remote-1", "status": "failed", "failReason": "timeout"}) is PushOutcome.TAKEN
        )
        assert world.results()["a"]["failReason"] == "timeout"

    @pytest.mark.parametrize("remote_id", ["remote-0", None, ["remote-1"], {"a": 1}])
    def test_a_failure_of_another_submission_says_nothing_about_this_one(self, world, remote_id):
        world.send("a")
        assert world.pushes.take("a", {"id": remote_id, "status": "failed"}) is PushOutcome.TAKEN
        assert world.store.get("a").state is State.RUNNING

    def test_a_result_of_another_submission_is_taken(self, world):
        world.send("a")
        assert world.pushes.take("a", result("remote-0", A)) is PushOutcome.TAKEN
        assert world.results()["a"]["status"] == "finished"

    @pytest.mark.parametrize(
        "document", [{}, {"status": "running"}, {"status": "cancelled"}, {"status": "finished"}, {"status": 7}]
    )
    def test_a_push_that_is_no_end_changes_nothing(self, world, document):
        world.send("a")
        before = world.store.get("a")
        assert world.pushes.take("a", {"id": "remote-1"} | document) is PushOutcome.TAKEN
        assert world.store.get("a") == before

    def test_a_push_to_a_full_queue_stays_with_the_remote(self, fresh):
        world = fresh(polls=0, high_entries=1)
        world.send("a", "b")
        assert world.pushes.take("a", result("remote-1", A)) is PushOutcome.TAKEN
        assert world.pushes.take("b", result("remote-2", A)) is PushOutcome.LATER
        assert world.store.get("b").state is State.RUNNING
        # What has ended is no matter of room.
        assert world.pushes.take("a", result("remote-1", A)) is PushOutcome.TAKEN
        world.redis.delete("longhaul:results:results")
        assert world.pushes.take("b", result("remote-2", A)) is PushOutcome.TAKEN

    def test_a_former_submissions_failure_does_not_end_a_job_that_is_queued_again(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        world.store.apply(JobStep.POLL, [(world.store.get("a"), Resend())], world.clock.now)
        assert world.store.get("a").state is State.QUEUED
        assert world.pushes.take("a", {"id": "remote-1", "status": "failed", "failReason": "x"}) is PushOutcome.TAKEN
        assert world.store.get("a").state is State.QUEUED

    def test_a_push_for_an_unknown_job_is_said(self, world):
        assert world.pushes.take("nobody", result("r", A)) is PushOutcome.UNKNOWN
