"""A crash between any two steps of send, poll, finish and cancel, at every crossing of every crash point.

The tests do not name the crash points: each method of the collaborators is one, before it and after it, and each group of
answers. A scenario is run with a crash at crossing 1, 2, 3 ... until it comes through without one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from longhaul.jobs.job import JobStep
from longhaul.jobs.pushes import JobPushes
from longhaul.work.batch_runner import BatchRunner
from tests.flow.conftest import LEASE, World
from tests.flow.crash_points import Around, Crash, CrashPoints
from tests.flow.scraper import result


def crashing(runner: BatchRunner, points: CrashPoints) -> BatchRunner:
    wrapped = {name: Around(getattr(runner, name), points) for name in ("store", "remote", "decider")}
    return replace(runner, **wrapped, on_applied=Around(runner, points).on_applied)


def every_crash(
    fresh: Callable[..., World], scenario: Callable[[World, Any], None], check: Callable[[World], None], **options: Any
) -> list[str]:
    """Run `scenario` with a crash at each crossing in turn, bring the jobs home, and check; returns the names of the
    crossings.
    """
    at = 0
    while True:
        at += 1
        world = fresh(**options)
        points = CrashPoints(at)
        crashed = False
        try:
            scenario(world, crashing(world.runner, points))
        except Crash:
            crashed = True
        world.clock.now += LEASE + 1
        world.bring_home()
        check(world)
        if not crashed:
            return points.crossed


def billed(world: World) -> None:
    """Exactly one envelope for each job with its own body; a second submission exactly where one had to be made or may
    have been.
    """
    for id_, envelope in world.results().items():
        url = f"https://example.com/{id_}"
        assert (envelope["status"], envelope["body"]) == ("finished", f"body of {url}")
        assert world.scraper.posts[url] <= envelope["submissions"] <= 2
        if world.scraper.reads[url] == 2:
            assert (envelope["submissions"], world.scraper.posts[url]) == (2, 2)


def test_a_crash_anywhere_between_submission_and_envelope_loses_and_doubles_nothing(fresh):
    lost_and_fetched_again = []
    points = []

    def scenario(world, runner):
        points[:] = [runner.store._points]
        world.submit("a", "b")
        for _ in range(3):
            for step in (JobStep.SEND, JobStep.POLL):
                runner.run(step, "default")
            world.clock.now += 10

    def check(world):
        billed(world)
        lost = max(world.scraper.reads.values()) == 2
        lost_and_fetched_again.append(lost)
        if lost:
            # The crash came when the remote was being asked, and before the batch was through with its answers: nowhere
            # else.
            crossed = points[0].crossed[: points[0].at]
            batch = crossed[len(crossed) - crossed[::-1].index("before claim") :]
            assert "before act" in batch
            assert not {"before leave", "before on_applied"} & set(batch[:-1])

    crossed = every_crash(fresh, scenario, check)
    assert {
        "before claim",
        "after claim",
        "before act",
        "an answer was read",
        "after decide",
        "before apply",
        "after apply",
    } <= set(crossed)
    assert len(crossed) > 40
    # A few crossings, and more of them where the two answers do not come at once.
    assert 2 <= sum(lost_and_fetched_again) <= 16


def test_a_crash_while_a_lost_job_is_submitted_again_loses_and_doubles_nothing(fresh):
    def scenario(world, runner):
        world.send("a")
        world.scraper.jobs.clear()
        world.clock.now += 100
        for _ in range(3):
            for step in (JobStep.POLL, JobStep.SEND):
                runner.run(step, "default")
            world.clock.now += 10

    def check(world):
        (envelope,) = world.results().values()
        assert envelope["status"] in {"finished", "expired"}
        # resubmit=1: where the crash made the second result unreadable as well, it is said and not hidden.
        if envelope["status"] == "expired":
            assert world.scraper.reads["https://example.com/a"] == 1
            assert envelope["failReason"] == "the remote lost the result 2 times; resubmit=1"
        else:
            assert envelope["body"] == "body of https://example.com/a"

    every_crash(fresh, scenario, check)


def test_a_crash_anywhere_in_a_cancellation_leaves_one_envelope_and_nothing_running(fresh):
    def scenario(world, runner):
        world.send("running")
        world.submit("queued")
        for id_ in ("running", "queued"):
            runner.store.cancel(id_)
        runner.run(JobStep.CANCEL, "default")

    def check(world):
        for envelope in world.results().values():
            # Where the crash came before the mark, nobody has cancelled anything.
            assert envelope["status"] in {"cancelled", "finished"}
        assert world.scraper.jobs == {}

    crossed = every_crash(fresh, scenario, check)
    assert {"before cancel", "after cancel", "after claim", "an answer was read", "after apply"} <= set(crossed)


def test_a_crash_anywhere_in_taking_a_pushed_result_leaves_one_envelope(fresh):
    def scenario(world, runner):
        world.send("a")
        pushes = JobPushes(runner.store, runner.decider, runner.on_applied)
        assert pushes.take("a", result("remote-1", "https://example.com/a"))
        runner.run(JobStep.POLL, "default")

    every_crash(fresh, scenario, billed, polls=0)


@pytest.mark.parametrize("polls", [0, 2])
def test_a_claimant_that_dies_again_and_again_loses_nothing(fresh, polls):
    world = fresh(polls)
    world.submit("a")
    for at in (2, 4, 6):
        for step in (JobStep.SEND, JobStep.POLL):
            try:
                crashing(world.runner, CrashPoints(at)).run(step, "default")
            except Crash:
                world.clock.now += LEASE + 1
    world.bring_home()
    (envelope,) = world.results().values()
    assert envelope["status"] in {"finished", "expired"}
