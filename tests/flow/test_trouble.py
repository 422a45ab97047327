"""What the remote and the ledger refuse."""

from dataclasses import replace

import pytest

from longhaul.jobs.job import JobStep
from longhaul.work.item import State
from tests.builders import HOUR, START
from tests.flow.scraper import Scraper
from tests.flow.waiting import lanes
from tests.wire import Reply, as_json, wire

A = "https://example.com/a"


class TestTrouble:
    def test_a_body_over_the_limit_fails_the_job_after_one_poll(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        world.scraper.before = lambda _: Reply(200, b"x" * (1024 * 1024 + 1))
        world.run(JobStep.POLL)
        assert world.results()["a"]["failReason"] == "the result is over 1048576 bytes (LONGHAUL_MAX_BODY_BYTES)"

    def test_a_connection_cut_in_the_middle_of_a_body_is_another_poll(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        world.scraper.before = lambda _: Reply(200, b'{"status": "fini', missing=50)
        world.run(JobStep.POLL)
        assert (world.store.get("a").polls, world.store.get("a").attempts) == (1, 0)
        world.scraper.before = lambda _: None
        world.bring_home()
        assert world.results()["a"]["submissions"] == 1

    def test_a_result_that_was_deleted_by_a_reading_that_broke_off_is_fetched_again(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        world.scraper.before = lambda ask: (
            world.scraper.get("remote-1") and Reply(hang_up=True)
            if ask.method == "GET" and world.scraper.jobs
            else None
        )
        world.run(JobStep.POLL)
        world.scraper.before = lambda _: None
        world.bring_home()
        assert (world.results()["a"]["submissions"], world.scraper.posts[A]) == (2, 2)

    def test_a_result_that_is_lost_twice_expires_and_says_so(self, fresh):
        world = fresh(polls=10**6)
        world.submit("a")
        for _ in range(2):
            world.clock.now += 1
            world.run(JobStep.SEND)
            world.scraper.jobs.clear()
            world.clock.now += 100
            world.run(JobStep.POLL)
        assert (
            world.results()["a"].items()
            >= {
                "status": "expired",
                "submissions": 2,
                "failReason": "the remote lost the result 2 times; resubmit=1",
            }.items()
        )

    def test_a_job_that_is_not_found_in_its_first_minute_is_waited_for(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        world.scraper.before = lambda ask: Reply(404, b"Job not found") if ask.method == "GET" else None
        world.run(JobStep.POLL)
        assert world.store.get("a").state is State.RUNNING
        world.scraper.before = lambda _: None
        world.bring_home()
        assert world.results()["a"]["submissions"] == 1

    def test_a_job_that_never_ends_gets_its_last_poll_at_72_hours_and_expires(self, fresh):
        world = fresh(polls=10**9)
        world.send("a")
        world.clock.now = START + 72 * HOUR - 1
        world.run(JobStep.POLL)
        assert lanes(world)["poll:default"].oldest == START + 72 * HOUR
        world.clock.now = START + 72 * HOUR
        world.run(JobStep.POLL)
        assert (
            world.results()["a"].items() >= {"status": "expired", "failReason": "not finished within 72 hours"}.items()
        )

    def test_a_result_that_is_there_at_the_last_poll_is_delivered(self, fresh):
        world = fresh(polls=0)
        world.send("a")
        world.clock.now = START + 80 * HOUR
        world.run(JobStep.POLL)
        assert world.results()["a"]["status"] == "finished"

    def test_a_remote_that_is_away_costs_nothing_but_time(self, world):
        world.submit("a")
        with wire(Scraper()) as gone:
            base = gone.base
        away = replace(
            world.runner, remote=type(world.runner.remote)(base, {"default": "key"}, world.calls, lambda _: None)
        )
        for _ in range(15):
            away.run(JobStep.SEND, "default")
            world.clock.now += 100
        assert (world.store.get("a").attempts, world.store.get("a").submissions) == (0, 0)
        world.bring_home()
        assert world.results()["a"]["submissions"] == 1

    def test_a_rejected_request_fails_with_the_remotes_words(self, world):
        world.submit("a", "b")
        world.scraper.before = lambda ask: Reply(400, b"url is not allowed") if b"/a" in ask.body else None
        world.run(JobStep.SEND)
        world.bring_home()
        assert world.results()["a"]["failReason"] == "the remote rejected the request: url is not allowed"
        assert world.results()["b"]["status"] == "finished"

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b'{"status": "finished"}', b'{"status": "finished", "response": {"statusCode": 1e999}}']
    )
    def test_answers_that_are_malformed_again_and_again_end_the_job_and_harm_no_other(self, fresh, body):
        world = fresh(polls=0)
        world.send("a", "b")
        bad = next(remote_id for remote_id, (url, _) in world.scraper.jobs.items() if url == A)
        world.scraper.before = lambda ask: Reply(200, body) if ask.path.endswith(f"/{bad}") else None
        for _ in range(12):
            world.run(JobStep.POLL)
            world.clock.now += 400
        assert world.results()["b"]["status"] == "finished"
        assert world.results()["a"]["failReason"].startswith(
            "gave up after 10 attempts; last: the remote's answer is malformed: "
        )

    def test_a_strange_remote_id_harms_no_other_job(self, world):
        world.submit("a", "b")
        world.scraper.before = lambda ask: (
            as_json({"id": "\ud800"}) if ask.method == "POST" and b"/a" in ask.body else None
        )
        world.run(JobStep.SEND)
        assert (world.store.get("a").attempts, world.store.get("b").state) == (1, State.RUNNING)
        world.scraper.before = lambda _: None
        world.bring_home()
        assert len(world.results()) == 2
