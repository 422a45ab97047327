"""Several accounts, each with its own trouble."""

from dataclasses import replace

import pytest

from longhaul.jobs.job import JobStep
from longhaul.jobs.remote import JobRemote
from tests.builders import HOUR, START
from tests.flow.conftest import LEASE
from tests.flow.waiting import lanes
from tests.wire import Reply

A = "https://example.com/a"


class TestAccounts:
    REFUSALS = (
        (Reply(401, b"bad key"), 30, "HTTP 401 from the remote: bad key"),
        (Reply(403, b"no credits"), 30, "HTTP 403 from the remote: no credits"),
        (Reply(403, b'{"error": "half a \\ud83d character"}'), 30, "HTTP 403 from the remote: half a ? character"),
        (Reply(429, b"slow down"), 5, "too many requests (HTTP 429)"),
        (Reply(429, b"", {"Retry-After": "17"}), 17, "too many requests (HTTP 429)"),
    )

    @pytest.mark.parametrize(("refusal", "pause", "reason"), REFUSALS, ids=lambda value: str(value)[:40])
    @pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
    def test_a_refused_account_is_held_probed_and_resumed_and_no_job_fails(self, world, step, refusal, pause, reason):
        ids = [f"j{n}" for n in range(10)]
        (world.send if step is JobStep.POLL else world.submit)(*ids)
        world.scraper.before = lambda _: refusal
        report = world.runner.run(step, "default")
        assert report.counts == {"pause": 10}
        lane = lanes(world)[f"{step}:default"]
        assert lane.reason == reason
        assert lane.paused_until == pytest.approx(world.clock.now + pause, abs=4)
        assert world.runner.run(step, "default").claimed == 0
        assert world.store.dispatch(step) == []

        world.clock.now = lane.paused_until
        asked = len(world.wire.asked)
        assert world.runner.run(step, "default").counts == {"pause": 1}
        assert len(world.wire.asked) == asked + 1
        longer = lanes(world)[f"{step}:default"].paused_until - world.clock.now
        assert longer == pytest.approx(pause if "Retry-After" in refusal.headers else 2 * pause, abs=4)

        world.clock.now += longer
        world.scraper.before = lambda _: None
        probe = world.runner.run(step, "default")
        assert (probe.claimed, probe.more) == (1, True)
        assert lanes(world)[f"{step}:default"].paused_until is None
        assert world.runner.run(step, "default").claimed == 9
        world.bring_home()
        assert {envelope["submissions"] for envelope in world.results().values()} == {1}
        assert {envelope["attempts"] for envelope in world.results().values()} == {0}

    def test_an_address_that_answers_404_to_submissions_pauses_longer_and_longer(self, world):
        world.submit(*(f"j{n}" for n in range(10)))
        world.scraper.before = lambda _: Reply(404, b"no such page")
        pauses, asked = [], []
        for _ in range(4):
            report = world.runner.run(JobStep.SEND, "default")
            asked.append(report.claimed)
            assert not report.more
            lane = lanes(world)["send:default"]
            assert lane.reason == "the remote answers 404 to submissions: is LONGHAUL_ASYNC_URL right?"
            pauses.append(round(lane.paused_until - world.clock.now))
            world.clock.now = lane.paused_until + 1
        assert pauses == [30, 60, 120, 240]
        assert asked == [10, 1, 1, 1]
        world.scraper.before = lambda _: None
        world.clock.now += 1000
        world.bring_home()
        assert len(world.results()) == 10

    def test_jobs_of_a_paused_account_still_expire_at_their_deadline(self, world):
        world.submit("a")
        world.scraper.before = lambda _: Reply(403, b"no credits")
        world.run(JobStep.SEND)
        world.store._due.pause("send:default", START + 100 * HOUR, "no credits", 1)
        world.clock.now = START + 72 * HOUR
        world.run(JobStep.SEND)
        assert world.results()["a"]["failReason"] == "not accepted by the remote within 72 hours"

    def test_jobs_of_an_account_that_has_gone_from_the_settings_wait_and_end_at_their_deadline(self, world):
        world.submit("a", account="gone")
        ((account, token),) = world.store.dispatch(JobStep.SEND)
        world.runner.run(JobStep.SEND, account, token)
        assert lanes(world)["send:gone"].reason == "account `gone` has no key here: set LONGHAUL_API_KEYS"
        assert world.scraper.documents == []
        world.clock.now = START + 72 * HOUR
        world.runner.run(JobStep.SEND, "gone")
        assert world.results()["a"]["status"] == "expired"

    def test_a_running_job_of_an_account_that_has_gone_is_still_brought_home(self, fresh):
        world = fresh(polls=0)
        world.submit("a", account="gone")
        replace(world.runner, remote=JobRemote(world.wire.base, {"gone": "key"}, world.calls, lambda *_: "")).run(
            JobStep.SEND, "gone"
        )
        world.clock.now += 10
        ((account, _),) = world.store.dispatch(JobStep.POLL)
        world.runner.run(JobStep.POLL, account)
        assert world.results()["a"]["status"] == "finished"

    def test_a_probe_that_meets_an_outage_does_not_end_the_pause(self, world):
        world.submit("a", "b")
        world.scraper.before = lambda _: Reply(401)
        world.run(JobStep.SEND)
        world.clock.now += 31
        world.scraper.before = lambda _: Reply(503)
        report = world.runner.run(JobStep.SEND, "default")
        assert (report.claimed, report.more) == (1, False)
        assert world.runner.run(JobStep.SEND, "default").claimed == 0
        world.clock.now += LEASE
        world.scraper.before = lambda _: None
        world.bring_home()
        assert len(world.results()) == 2
