"""Send, poll and cancel end to end: real ledger, real HTTP, real batch client, a remote that deletes on reading."""

import threading
from dataclasses import replace

from longhaul.jobs.job import JobStep
from longhaul.work.balance import balance
from longhaul.work.item import State
from tests.builders import envelopes
from tests.flow.waiting import until
from tests.wire import Reply, as_json

A = "https://example.com/a"


class TestTheWholeWay:
    def test_a_job_goes_from_its_submission_to_its_envelope(self, world):
        world.submit("a", meta={"n": 1})
        world.run(JobStep.SEND, JobStep.POLL)
        assert world.store.get("a").state is State.RUNNING
        assert envelopes(world.redis) == []
        world.clock.now += 10
        world.run(JobStep.POLL)
        assert world.store.get("a").polls == 1
        world.clock.now += 20
        world.run(JobStep.POLL)
        (envelope,) = world.results().values()
        assert (
            envelope.items()
            >= {
                "id": "a",
                "kind": "job",
                "status": "finished",
                "url": A,
                "meta": {"n": 1},
                "statusCode": 200,
                "body": f"body of {A}",
                "credits": 1,
                "remoteId": "remote-1",
                "attempts": 0,
                "polls": 2,
                "submissions": 1,
            }.items()
        )
        assert [type(applied.decision).__name__ for applied in world.tracked] == ["Sent", "Snooze", "Finish"]
        assert world.scraper.documents == [{"apiKey": "key", "url": A}]

    def test_a_batch_reports_what_it_did(self, fresh):
        world = fresh(batch_size=2)
        world.submit("a", "b", "c")
        first = world.runner.run(JobStep.SEND, "default")
        assert (first.claimed, first.more, first.counts, first.late) == (2, True, {"sent": 2}, 0)
        second = world.runner.run(JobStep.SEND, "default")
        assert (second.claimed, second.more) == (1, False)
        assert world.runner.run(JobStep.SEND, "default").claimed == 0

    def test_a_batch_that_leaves_work_keeps_its_token_and_the_last_gives_it_back(self, fresh):
        world = fresh(batch_size=1)
        world.submit("a", "b")
        ((_, token), *_) = world.store.dispatch(JobStep.SEND)
        working = "longhaul:{jobs}:working:send"
        world.runner.run(JobStep.SEND, "default", token)
        assert world.redis.zrange(working, 0, -1) == [token]
        world.runner.run(JobStep.SEND, "default", token)
        assert world.redis.zrange(working, 0, -1) == []

    def test_a_hundred_jobs_come_home(self, world):
        ids = [f"j{n}" for n in range(100)]
        world.send(*ids)
        world.bring_home()
        assert set(world.results()) == set(ids)
        assert all(envelope["submissions"] == 1 for envelope in world.results().values())


def test_one_slow_answer_does_not_hold_up_the_others(fresh):
    world = fresh(polls=0)
    ids = [f"j{n}" for n in range(100)]
    world.send(*ids)
    released = threading.Event()
    slow = next(remote_id for remote_id, (url, _) in world.scraper.jobs.items() if url.endswith("/j42"))

    def before(ask):
        if ask.path.endswith(f"/{slow}") and not released.is_set():
            released.wait(15)

    world.scraper.before = before
    batch = threading.Thread(target=world.run, args=(JobStep.POLL,))
    batch.start()
    try:
        until(lambda: len(envelopes(world.redis)) == 99)
        assert balance(world.store.books()).open == 1
    finally:
        released.set()
        batch.join(20)
    assert set(world.results()) == set(ids)


class TestCancelling:
    def test_a_running_job_is_cancelled_at_the_remote_and_has_one_envelope(self, world):
        world.send("a")
        assert world.store.cancel("a") == ("marked", "default")
        world.run(JobStep.CANCEL, JobStep.POLL)
        assert world.results()["a"]["status"] == "cancelled"
        assert (world.scraper.deletes[A], world.scraper.jobs) == (1, {})

    def test_a_queued_job_is_cancelled_without_the_remote(self, world):
        world.submit("a")
        world.store.cancel("a")
        asked = len(world.wire.asked)
        world.run(JobStep.CANCEL)
        assert world.results()["a"]["status"] == "cancelled"
        assert len(world.wire.asked) == asked

    def test_a_job_that_is_being_sent_is_cancelled_at_the_remote_afterwards(self, world):
        world.submit("a")
        world.scraper.before = lambda ask: world.store.cancel("a") and None if ask.method == "POST" else None
        world.run(JobStep.SEND, JobStep.CANCEL)
        assert world.results()["a"]["status"] == "cancelled"
        assert world.scraper.jobs == {}

    def test_a_remote_that_does_not_answer_is_asked_again(self, world):
        world.send("a")
        world.store.cancel("a")
        world.scraper.before = lambda _: Reply(hang_up=True)
        world.run(JobStep.CANCEL)
        assert world.store.get("a").state is State.RUNNING
        world.scraper.before = lambda _: None
        world.bring_home()
        assert world.results()["a"]["status"] == "cancelled"

    def test_a_job_that_the_remote_does_not_know_any_more_is_cancelled(self, world):
        world.send("a")
        world.scraper.jobs.clear()
        world.store.cancel("a")
        world.run(JobStep.CANCEL)
        assert world.results()["a"]["status"] == "cancelled"


def test_an_unknown_status_is_logged_once(fresh, caplog):
    world = fresh(polls=5)
    world.send("a", "b")
    world.scraper.before = lambda _: as_json({"id": "x", "status": "pondering anew"})
    for _ in range(2):
        world.run(JobStep.POLL)
        world.clock.now += 30
    assert [record.args for record in caplog.records if "unknown status" in record.message] == [("pondering anew",)]


def test_heavy_answers_are_written_in_portions_that_go_through(fresh):
    world = fresh(polls=0)
    world.send("a", "b", "c")
    sizes = []

    class Counting:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def apply(self, step, decided, now):
            sizes.append(len(decided))
            return world.store.apply(step, decided, now)

    replace(world.runner, store=Counting(), portion_bytes=30).run(JobStep.POLL, "default")
    assert sizes == [1, 1, 1]
    assert len(world.results()) == 3
