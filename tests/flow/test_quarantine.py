"""Jobs in quarantine: retried, cancelled, and ended by a pushed result."""

from __future__ import annotations

from dataclasses import replace

import pytest

from longhaul.jobs.job import JobStep
from longhaul.jobs.pushes import PushOutcome
from longhaul.work.balance import balance
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Snooze
from longhaul.work.item import State
from tests.builders import envelopes
from tests.flow.conftest import LEASE
from tests.flow.corruption import SPACE, SPOILT, buggy, quarantined, spoil, wait_out
from tests.flow.scraper import result
from tests.wire import Reply


class TestBack:
    def test_what_was_mended_goes_on_from_the_step_that_it_was_taken_from(self, world):
        world.send("bad")
        spoil(world, "bad", "created", "x")
        wait_out(world)
        spoil(world, "bad", "created", f"{world.clock.now - 5000:.3f}")
        assert world.store.quarantine.retry(["bad", "nobody"]) == ["poll:default", "missing"]
        assert world.store.quarantine.retry(["bad"]) == ["not in quarantine"]
        assert quarantined(world) == {}
        assert not {"crashes", "crash", "origin"} & set(world.redis.hgetall(f"{SPACE}:record:bad"))
        world.bring_home()
        assert world.results()["bad"]["status"] == "finished"
        assert world.scraper.posts["https://example.com/bad"] == 1

    def test_what_is_still_wrong_has_three_tries_again(self, world):
        world.submit("bad")
        spoil(world, "bad", "created", "x")
        wait_out(world)
        world.store.quarantine.retry(world.store.quarantine.ids())
        assert [world.runner.run(JobStep.SEND, "default").crashed for _ in range(2)] == [1, 0]
        assert quarantined(world) == {}
        wait_out(world)
        assert list(quarantined(world)) == ["bad"]

    def test_nobody_dispatches_what_is_quarantined(self, world):
        world.submit("bad")
        spoil(world, "bad", "created", "x")
        wait_out(world)
        assert [world.store.dispatch(step) for step in JobStep] == [[], [], []]

    def test_a_late_writer_does_not_move_what_was_quarantined(self, world):
        world.send("bad")
        (job,) = world.store.claim(JobStep.POLL, "default").items
        world.clock.now += LEASE
        spoil(world, "bad", "created", "x")
        wait_out(world)
        (applied,) = world.store.apply(JobStep.POLL, [(job, Snooze(world.clock.now))], world.clock.now)
        assert applied.written == "stale"
        assert list(quarantined(world)) == ["bad"]


class TestCancelling:
    @pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
    @pytest.mark.parametrize(("name", "value", "named"), SPOILT)
    @pytest.mark.parametrize("tried", [False, True])
    def test_a_job_that_cannot_be_read_ends_with_its_one_envelope(self, fresh, name, value, named, step, tried):
        world = fresh(100)
        (world.send if step is JobStep.POLL else world.submit)("bad")
        spoil(world, "bad", name, value)
        if tried:
            wait_out(world, step, rounds=4)
            if named:
                assert list(quarantined(world)) == ["bad"]
        marked, account = world.store.cancel("bad")
        assert (marked, account) == ("marked", "default")
        world.run(JobStep.CANCEL)
        assert world.store.state("bad") is State.CANCELLED
        # Where nobody can say which queue was meant, it is the default one.
        (envelope,) = envelopes(world.redis)
        assert (envelope["id"], envelope["status"]) == ("bad", "cancelled")
        assert (balance(world.store.books()).faults, balance(world.store.books()).open) == ([], 0)
        assert world.scraper.jobs == {}
        assert world.store.cancel("bad")[0] == "cancelled"

    def test_its_remote_is_told_until_it_agrees(self, world):
        world.send("bad")
        spoil(world, "bad", "created", "x")
        wait_out(world)
        world.store.cancel("bad")
        world.scraper.before = lambda _: Reply(500)
        world.run(JobStep.CANCEL)
        assert world.store.state("bad") is State.RUNNING
        world.scraper.before = lambda _: None
        world.clock.now += 700
        world.run(JobStep.CANCEL)
        assert world.store.state("bad") is State.CANCELLED
        assert world.scraper.deletes["https://example.com/bad"] == 1


class TestPushes:
    def test_a_result_of_a_job_that_cannot_be_read_stays_with_the_remote(self, world):
        world.send("bad")
        spoil(world, "bad", "created", "x")
        assert world.pushes.take("bad", result("remote-1", "https://example.com/bad")) is PushOutcome.LATER
        with pytest.raises(CorruptRecord, match=r"cannot be read: created"):
            world.store.get("bad")

    def test_a_result_that_cannot_be_written_is_a_crash_of_its_job(self, world):
        world.send("bad")

        class Spoils:
            """The results queue becomes a string between the push's two questions."""

            def __getattr__(self, name):
                return getattr(world.store, name)

            def is_full(self, queue):
                full = world.store.is_full(queue)
                world.redis.set(f"longhaul:results:{queue}", "x")
                return full

        pushes = replace(world.pushes, store=Spoils())
        assert pushes.take("bad", result("remote-1", "https://example.com/bad")) is PushOutcome.TAKEN
        assert "writing: ResponseError" in world.redis.hgetall(f"{SPACE}:record:bad").values()
        assert world.tracked[-1].item.id == "bad"
        assert type(world.tracked[-1].decision).__name__ == "Sent"

    def test_a_result_of_a_job_that_is_quarantined_ends_it(self, world):
        world.send("bad")
        runner = buggy(world, "bad")
        for _ in range(3):
            runner.run(JobStep.POLL, "default")
            world.clock.now += 130
        assert list(quarantined(world)) == ["bad"]
        assert world.pushes.take("bad", result("remote-1", "https://example.com/bad")) is PushOutcome.TAKEN
        assert world.results()["bad"]["status"] == "finished"
