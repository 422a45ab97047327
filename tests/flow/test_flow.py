"""Send, poll, cancel and push end to end: real ledger, real HTTP, real batch client, a remote that deletes what it is read."""

import threading
import time
from dataclasses import replace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.balance import balance
from jobs.decide import Fail, Finish, Resend
from jobs.flow import Pushed
from jobs.job import State, Step
from jobs.remote import Remote
from tests.builders import HOUR, START, a_submission, envelopes, finished
from tests.flow.conftest import LEASE
from tests.flow.scraper import Scraper, result
from tests.wire import Reply, as_json, wire

A = "https://example.com/a"


def until(condition, seconds=10.0):
    """Wait for what another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def lanes(world):
    return {lane.name: lane for lane in world.store.books().lanes}


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


class TestTheWholeWay:
    def test_a_job_goes_from_its_submission_to_its_envelope(self, world):
        world.submit("a", meta={"n": 1})
        world.run(Step.SEND, Step.POLL)
        assert world.store.get("a").state is State.RUNNING
        assert envelopes(world.redis) == []
        world.clock.now += 10
        world.run(Step.POLL)
        assert world.store.get("a").polls == 1
        world.clock.now += 20
        world.run(Step.POLL)
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
        assert [type(applied.decision).__name__ for applied in world.watched] == ["Sent", "Snooze", "Finish"]
        assert world.scraper.documents == [{"apiKey": "key", "url": A}]

    def test_a_batch_reports_what_it_did(self, fresh):
        world = fresh(batch_size=2)
        world.submit("a", "b", "c")
        first = world.flow.run_batch(Step.SEND, "default")
        assert (first.claimed, first.more, first.counts, first.late) == (2, True, {"sent": 2}, 0)
        second = world.flow.run_batch(Step.SEND, "default")
        assert (second.claimed, second.more) == (1, False)
        assert world.flow.run_batch(Step.SEND, "default").claimed == 0

    def test_a_batch_that_leaves_work_keeps_its_token_and_the_last_gives_it_back(self, fresh):
        world = fresh(batch_size=1)
        world.submit("a", "b")
        ((_, token), *_) = world.store.dispatch(Step.SEND)
        working = "longhaul:{jobs}:working:send"
        world.flow.run_batch(Step.SEND, "default", token)
        assert world.redis.zrange(working, 0, -1) == [token]
        world.flow.run_batch(Step.SEND, "default", token)
        assert world.redis.zrange(working, 0, -1) == []

    def test_a_hundred_jobs_come_home(self, world):
        ids = [f"j{n}" for n in range(100)]
        world.send(*ids)
        world.bring_home()
        assert set(world.results()) == set(ids)
        assert all(envelope["submissions"] == 1 for envelope in world.results().values())


class TestLostReplies:
    def test_of_a_submission(self, world):
        with pytest.raises(RedisConnectionError):
            LosesReplies(world.store, "submit").submit([("a", a_submission(A))], watched=False)
        world.store.submit([("a", a_submission(A))], watched=False)
        world.bring_home()
        assert world.scraper.posts[A] == 1
        assert list(world.results()) == ["a"]

    @pytest.mark.parametrize("step", [Step.SEND, Step.POLL])
    def test_of_a_claim(self, world, step):
        (world.send if step is Step.POLL else world.submit)("a")
        with pytest.raises(RedisConnectionError):
            replace(world.flow, store=LosesReplies(world.store, "claim")).run_batch(step, "default")
        world.clock.now += LEASE
        world.bring_home()
        assert world.scraper.posts[A] == 1
        assert list(world.results()) == ["a"]

    @pytest.mark.parametrize(("step", "looks"), [(Step.SEND, 0), (Step.POLL, 1)])
    def test_of_a_write(self, fresh, step, looks):
        world = fresh(looks)
        (world.send if step is Step.POLL else world.submit)("a")
        flow = replace(world.flow, store=LosesReplies(world.store, "apply"))
        if step is Step.POLL:
            with pytest.raises(RedisConnectionError):
                flow.run_batch(step, "default")
        else:
            # A remote's id has cost credits: it is written again, and the second writing finds the first.
            assert flow.run_batch(step, "default").late == 1
        world.bring_home()
        # What was written stands: nothing was read or billed a second time.
        assert (world.scraper.posts[A], world.scraper.reads[A]) == (1, 1)
        assert list(world.results()) == ["a"]

    def test_of_the_write_of_a_result(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        replace(world.flow, store=LosesReplies(world.store, "apply")).run_batch(Step.POLL, "default")
        assert world.results()["a"]["body"] == f"body of {A}"

    def test_a_ledger_that_stays_away_ends_the_batch_after_its_lease(self, fresh):
        world = fresh(looks=0, lease=1.0)
        world.send("a")

        class Away:
            limits = world.store.limits

            def __getattr__(self, name):
                return getattr(world.store, name)

            def apply(self, *_):
                raise RedisConnectionError("away")

        with pytest.raises(RedisConnectionError, match=r"^away$"):
            replace(world.flow, store=Away()).run_batch(Step.POLL, "default")
        world.clock.now += 100
        world.bring_home()
        assert world.results()["a"]["submissions"] == 2

    @pytest.mark.parametrize("trouble", [RedisTimeoutError("away"), OutOfMemoryError("full"), ReadOnlyError("a replica")])
    def test_a_result_in_hand_outlasts_a_ledger_that_takes_no_writes(self, fresh, trouble):
        world = fresh(looks=0)
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

        report = replace(world.flow, store=Refusing()).run_batch(Step.POLL, "default")
        assert report.counts == {"finish": 1}
        assert (world.results()["a"]["submissions"], world.scraper.posts[A]) == (1, 1)

    def test_a_batch_that_raises_gives_its_token_back(self, fresh):
        world = fresh(looks=1)
        world.send("a")
        ((account, token),) = world.store.dispatch(Step.POLL)
        with pytest.raises(RedisConnectionError):
            replace(world.flow, store=LosesReplies(world.store, "apply")).run_batch(Step.POLL, account, token)
        assert world.redis.zrange("longhaul:{jobs}:working:poll", 0, -1) == []

    def test_of_a_post(self, fresh):
        world = fresh(looks=0)
        world.submit("a")
        lost = []

        def before(ask):
            if ask.method == "POST" and not lost:
                lost.append(world.scraper.post(ask))
                return Reply(hang_up=True)
            return None

        world.scraper.before = before
        world.run(Step.SEND)
        job = world.store.get("a")
        assert (job.state, job.attempts, job.submissions) == (State.QUEUED, 1, 1)
        world.bring_home()
        (envelope,) = world.results().values()
        assert (envelope["submissions"], envelope["attempts"], world.scraper.posts[A]) == (2, 1, 2)

    def test_of_a_post_whose_result_is_pushed_before_it_is_sent_again(self, fresh):
        world = fresh(looks=0)
        world.submit("a", callback="https://us.test")
        world.scraper.before = lambda ask: world.scraper.post(ask) and Reply(hang_up=True)
        world.run(Step.SEND)
        assert world.flow.take_pushed("a", result("remote-1", A)) is Pushed.TAKEN
        assert world.results()["a"]["body"] == f"body of {A}"
        world.scraper.before = lambda _: None
        world.clock.now += 1000
        world.run(Step.SEND)
        assert world.scraper.posts[A] == 1


class TestPushes:
    def test_a_push_before_a_look(self, world):
        world.send("a")
        assert world.flow.take_pushed("a", result("remote-1", A)) is Pushed.TAKEN
        world.clock.now += 1000
        assert world.flow.run_batch(Step.POLL, "default").claimed == 0
        assert world.results()["a"]["body"] == f"body of {A}"

    def test_a_push_after_the_end_is_a_no_op(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        world.run(Step.POLL)
        assert world.flow.take_pushed("a", result("remote-1", A) | {"status": "failed"}) is Pushed.TAKEN
        assert world.results()["a"]["status"] == "finished"

    def test_a_push_that_comes_between_the_reading_and_the_end(self, fresh):
        world = fresh(looks=0)
        world.send("a")

        class Pushing:
            def act(self, *args):
                for group in world.flow.remote.act(*args):
                    assert world.flow.take_pushed("a", result("remote-1", A))
                    yield group

        report = replace(world.flow, remote=Pushing()).run_batch(Step.POLL, "default")
        assert (report.late, report.counts) == (1, {})
        assert list(world.results()) == ["a"]

    def test_a_claim_that_comes_between_a_pushs_reading_and_its_end(self, world):
        world.send("a")

        class Claiming:
            def __getattr__(self, name):
                return getattr(world.store, name)

            def get(self, job_id):
                job = world.store.get(job_id)
                world.store.claim(Step.POLL, "default")
                return job

        assert replace(world.flow, store=Claiming()).take_pushed("a", result("remote-1", A)) is Pushed.TAKEN
        assert world.results()["a"]["body"] == f"body of {A}"

    def test_a_push_of_a_failure_ends_the_job_with_its_reason(self, world):
        world.send("a")
        assert world.flow.take_pushed("a", {"id": "remote-1", "status": "failed", "failReason": "timeout"}) is Pushed.TAKEN
        assert world.results()["a"]["failReason"] == "timeout"

    @pytest.mark.parametrize("remote_id", ["remote-0", None, ["remote-1"], {"a": 1}])
    def test_a_failure_of_another_submission_says_nothing_about_this_one(self, world, remote_id):
        world.send("a")
        assert world.flow.take_pushed("a", {"id": remote_id, "status": "failed"}) is Pushed.TAKEN
        assert world.store.get("a").state is State.RUNNING

    def test_a_result_of_another_submission_is_taken(self, world):
        world.send("a")
        assert world.flow.take_pushed("a", result("remote-0", A)) is Pushed.TAKEN
        assert world.results()["a"]["status"] == "finished"

    @pytest.mark.parametrize("document", [{}, {"status": "running"}, {"status": "cancelled"}, {"status": "finished"}, {"status": 7}])
    def test_a_push_that_is_no_end_changes_nothing(self, world, document):
        world.send("a")
        before = world.store.get("a")
        assert world.flow.take_pushed("a", {"id": "remote-1"} | document) is Pushed.TAKEN
        assert world.store.get("a") == before

    def test_a_push_to_a_full_queue_stays_with_the_remote(self, fresh):
        world = fresh(looks=0, high_entries=1)
        world.send("a", "b")
        assert world.flow.take_pushed("a", result("remote-1", A)) is Pushed.TAKEN
        assert world.flow.take_pushed("b", result("remote-2", A)) is Pushed.LATER
        assert world.store.get("b").state is State.RUNNING
        # What has ended is no matter of room.
        assert world.flow.take_pushed("a", result("remote-1", A)) is Pushed.TAKEN
        world.redis.delete("longhaul:results:results")
        assert world.flow.take_pushed("b", result("remote-2", A)) is Pushed.TAKEN

    def test_a_former_submissions_failure_does_not_end_a_job_that_is_queued_again(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        world.store.apply(Step.POLL, [(world.store.get("a"), Resend())], world.clock.now)
        assert world.store.get("a").state is State.QUEUED
        assert world.flow.take_pushed("a", {"id": "remote-1", "status": "failed", "failReason": "x"}) is Pushed.TAKEN
        assert world.store.get("a").state is State.QUEUED

    def test_a_push_for_an_unknown_job_is_said(self, world):
        assert world.flow.take_pushed("nobody", result("r", A)) is Pushed.UNKNOWN


class TestFence:
    def test_a_late_reader_with_a_result_in_hand_still_brings_it_home(self, fresh):
        world = fresh(looks=0)
        world.send("a")

        class Slow:
            """Its lease ends while it holds the result; another batch looks, finds nothing, and has the job submitted again."""

            def act(self, *args):
                for group in world.flow.remote.act(*args):
                    world.clock.now += LEASE + 1
                    world.run(Step.POLL)
                    assert world.store.get("a").state is State.QUEUED
                    yield group

        report = replace(world.flow, remote=Slow()).run_batch(Step.POLL, "default")
        assert (report.counts, report.late) == ({"finish": 1}, 0)
        assert world.results()["a"]["body"] == f"body of {A}"
        world.run(Step.SEND)
        assert world.scraper.posts[A] == 1

    def test_a_late_writer_without_a_result_is_fenced_off(self, fresh):
        world = fresh(looks=5)
        world.send("a")

        class Slow:
            def act(self, *args):
                for group in world.flow.remote.act(*args):
                    world.clock.now += LEASE + 1
                    world.run(Step.POLL)
                    yield group

        report = replace(world.flow, remote=Slow()).run_batch(Step.POLL, "default")
        assert (report.counts, report.late) == ({}, 1)
        assert world.store.get("a").polls == 2

    def test_a_late_failure_of_the_present_submission_is_insisted_on_and_a_former_ones_is_not(self, fresh):
        for same in (True, False):
            world = fresh(looks=0)
            world.send("a")
            job = world.store.get("a")
            seen = replace(job, fence=job.fence - 1, remote_id=job.remote_id if same else "remote-0")
            (applied,) = world.store.apply(Step.POLL, [(seen, Fail("timeout"))], START)
            assert applied.written == "stale"
            assert world.flow._insist(Step.POLL, applied, START).written == ("finished" if same else "stale")

    def test_insisting_ends_when_the_job_has_ended(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        job = world.store.get("a")
        decision = Finish(finished().response)
        stale = replace(job, fence=job.fence - 1)
        (applied,) = world.store.apply(Step.POLL, [(stale, decision)], START)
        assert applied.written == "stale"
        world.store.apply(Step.POLL, [(job, Fail("x"))], START)
        assert world.flow._insist(Step.POLL, applied, START).written == "ended"
        assert world.results()["a"]["status"] == "failed"


def test_one_slow_answer_does_not_hold_up_the_others(fresh):
    world = fresh(looks=0)
    ids = [f"j{n}" for n in range(100)]
    world.send(*ids)
    released = threading.Event()
    slow = next(remote_id for remote_id, (url, _) in world.scraper.jobs.items() if url.endswith("/j42"))

    def before(ask):
        if ask.path.endswith(f"/{slow}") and not released.is_set():
            released.wait(15)

    world.scraper.before = before
    batch = threading.Thread(target=world.run, args=(Step.POLL,))
    batch.start()
    try:
        until(lambda: len(envelopes(world.redis)) == 99)
        assert balance(world.store.books()).open == 1
    finally:
        released.set()
        batch.join(20)
    assert set(world.results()) == set(ids)


class TestAccounts:
    REFUSALS = (
        (Reply(401, b"bad key"), 30, "HTTP 401 from the remote: bad key"),
        (Reply(403, b"no credits"), 30, "HTTP 403 from the remote: no credits"),
        (Reply(403, b'{"error": "half a \\ud83d character"}'), 30, "HTTP 403 from the remote: half a ? character"),
        (Reply(429, b"slow down"), 5, "too many requests (HTTP 429)"),
        (Reply(429, b"", {"Retry-After": "17"}), 17, "too many requests (HTTP 429)"),
    )

    @pytest.mark.parametrize(("refusal", "pause", "reason"), REFUSALS, ids=lambda value: str(value)[:40])
    @pytest.mark.parametrize("step", [Step.SEND, Step.POLL])
    def test_a_refused_account_is_held_probed_and_resumed_and_no_job_fails(self, world, step, refusal, pause, reason):
        ids = [f"j{n}" for n in range(10)]
        (world.send if step is Step.POLL else world.submit)(*ids)
        world.scraper.before = lambda _: refusal
        report = world.flow.run_batch(step, "default")
        assert report.counts == {"hold": 10}
        lane = lanes(world)[f"{step}:default"]
        assert lane.reason == reason
        assert lane.paused_until == pytest.approx(world.clock.now + pause, abs=4)
        assert world.flow.run_batch(step, "default").claimed == 0
        assert world.store.dispatch(step) == []

        world.clock.now = lane.paused_until
        asked = len(world.wire.asked)
        assert world.flow.run_batch(step, "default").counts == {"hold": 1}
        assert len(world.wire.asked) == asked + 1
        longer = lanes(world)[f"{step}:default"].paused_until - world.clock.now
        assert longer == pytest.approx(pause if "Retry-After" in refusal.headers else 2 * pause, abs=4)

        world.clock.now += longer
        world.scraper.before = lambda _: None
        probe = world.flow.run_batch(step, "default")
        assert (probe.claimed, probe.more) == (1, True)
        assert lanes(world)[f"{step}:default"].paused_until is None
        assert world.flow.run_batch(step, "default").claimed == 9
        world.bring_home()
        assert {envelope["submissions"] for envelope in world.results().values()} == {1}
        assert {envelope["attempts"] for envelope in world.results().values()} == {0}

    def test_an_address_that_answers_404_to_submissions_pauses_longer_and_longer(self, world):
        world.submit(*(f"j{n}" for n in range(10)))
        world.scraper.before = lambda _: Reply(404, b"no such page")
        pauses, asked = [], []
        for _ in range(4):
            report = world.flow.run_batch(Step.SEND, "default")
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
        world.run(Step.SEND)
        world.store._due.hold("send:default", START + 100 * HOUR, "no credits", 1)
        world.clock.now = START + 72 * HOUR
        world.run(Step.SEND)
        assert world.results()["a"]["failReason"] == "not accepted by the remote within 72 hours"

    def test_jobs_of_an_account_that_has_gone_from_the_settings_wait_and_end_at_their_deadline(self, world):
        world.submit("a", account="gone")
        ((account, token),) = world.store.dispatch(Step.SEND)
        world.flow.run_batch(Step.SEND, account, token)
        assert lanes(world)["send:gone"].reason == "account `gone` has no key here: set LONGHAUL_API_KEYS"
        assert world.scraper.documents == []
        world.clock.now = START + 72 * HOUR
        world.flow.run_batch(Step.SEND, "gone")
        assert world.results()["a"]["status"] == "expired"

    def test_a_running_job_of_an_account_that_has_gone_is_still_brought_home(self, fresh):
        world = fresh(looks=0)
        world.submit("a", account="gone")
        replace(world.flow, remote=Remote(world.wire.base, {"gone": "key"}, world.calls, lambda *_: "")).run_batch(Step.SEND, "gone")
        world.clock.now += 10
        ((account, _),) = world.store.dispatch(Step.POLL)
        world.flow.run_batch(Step.POLL, account)
        assert world.results()["a"]["status"] == "finished"

    def test_a_probe_that_meets_an_outage_does_not_end_the_pause(self, world):
        world.submit("a", "b")
        world.scraper.before = lambda _: Reply(401)
        world.run(Step.SEND)
        world.clock.now += 31
        world.scraper.before = lambda _: Reply(503)
        report = world.flow.run_batch(Step.SEND, "default")
        assert (report.claimed, report.more) == (1, False)
        assert world.flow.run_batch(Step.SEND, "default").claimed == 0
        world.clock.now += LEASE
        world.scraper.before = lambda _: None
        world.bring_home()
        assert len(world.results()) == 2


class TestTrouble:
    def test_a_body_over_the_limit_fails_the_job_after_one_look(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        world.scraper.before = lambda _: Reply(200, b"x" * (1024 * 1024 + 1))
        world.run(Step.POLL)
        assert world.results()["a"]["failReason"] == "the result is over 1048576 bytes (LONGHAUL_MAX_BODY_BYTES)"

    def test_a_connection_cut_in_the_middle_of_a_body_is_another_look(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        world.scraper.before = lambda _: Reply(200, b'{"status": "fini', missing=50)
        world.run(Step.POLL)
        assert (world.store.get("a").polls, world.store.get("a").attempts) == (1, 0)
        world.scraper.before = lambda _: None
        world.bring_home()
        assert world.results()["a"]["submissions"] == 1

    def test_a_result_that_was_deleted_by_a_reading_that_broke_off_is_fetched_again(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        world.scraper.before = lambda ask: (
            world.scraper.get("remote-1") and Reply(hang_up=True) if ask.method == "GET" and world.scraper.jobs else None
        )
        world.run(Step.POLL)
        world.scraper.before = lambda _: None
        world.bring_home()
        assert (world.results()["a"]["submissions"], world.scraper.posts[A]) == (2, 2)

    def test_a_result_that_is_lost_twice_expires_and_says_so(self, fresh):
        world = fresh(looks=10**6)
        world.submit("a")
        for _ in range(2):
            world.clock.now += 1
            world.run(Step.SEND)
            world.scraper.jobs.clear()
            world.clock.now += 100
            world.run(Step.POLL)
        assert (
            world.results()["a"].items()
            >= {"status": "expired", "submissions": 2, "failReason": "the remote lost the result 2 times; resubmit=1"}.items()
        )

    def test_a_job_that_is_not_found_in_its_first_minute_is_waited_for(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        world.scraper.before = lambda ask: Reply(404, b"Job not found") if ask.method == "GET" else None
        world.run(Step.POLL)
        assert world.store.get("a").state is State.RUNNING
        world.scraper.before = lambda _: None
        world.bring_home()
        assert world.results()["a"]["submissions"] == 1

    def test_a_job_that_never_ends_gets_its_last_look_at_72_hours_and_expires(self, fresh):
        world = fresh(looks=10**9)
        world.send("a")
        world.clock.now = START + 72 * HOUR - 1
        world.run(Step.POLL)
        assert lanes(world)["poll:default"].oldest == START + 72 * HOUR
        world.clock.now = START + 72 * HOUR
        world.run(Step.POLL)
        assert world.results()["a"].items() >= {"status": "expired", "failReason": "not finished within 72 hours"}.items()

    def test_a_result_that_is_there_at_the_last_look_is_delivered(self, fresh):
        world = fresh(looks=0)
        world.send("a")
        world.clock.now = START + 80 * HOUR
        world.run(Step.POLL)
        assert world.results()["a"]["status"] == "finished"

    def test_a_remote_that_is_away_costs_nothing_but_time(self, world):
        world.submit("a")
        with wire(Scraper()) as gone:
            base = gone.base
        away = replace(world.flow, remote=type(world.flow.remote)(base, {"default": "key"}, world.calls, lambda _: None))
        for _ in range(15):
            away.run_batch(Step.SEND, "default")
            world.clock.now += 100
        assert (world.store.get("a").attempts, world.store.get("a").submissions) == (0, 0)
        world.bring_home()
        assert world.results()["a"]["submissions"] == 1

    def test_a_rejected_request_fails_with_the_remotes_words(self, world):
        world.submit("a", "b")
        world.scraper.before = lambda ask: Reply(400, b"url is not allowed") if b"/a" in ask.body else None
        world.run(Step.SEND)
        world.bring_home()
        assert world.results()["a"]["failReason"] == "the remote rejected the request: url is not allowed"
        assert world.results()["b"]["status"] == "finished"

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"status": "finished"}', b'{"status": "finished", "response": {"statusCode": 1e999}}'])
    def test_answers_that_are_malformed_again_and_again_end_the_job_and_harm_no_other(self, fresh, body):
        world = fresh(looks=0)
        world.send("a", "b")
        bad = next(remote_id for remote_id, (url, _) in world.scraper.jobs.items() if url == A)
        world.scraper.before = lambda ask: Reply(200, body) if ask.path.endswith(f"/{bad}") else None
        for _ in range(12):
            world.run(Step.POLL)
            world.clock.now += 400
        assert world.results()["b"]["status"] == "finished"
        assert world.results()["a"]["failReason"].startswith("gave up after 10 attempts; last: the remote's answer is malformed: ")

    def test_a_strange_remote_id_harms_no_other_job(self, world):
        world.submit("a", "b")
        world.scraper.before = lambda ask: as_json({"id": "\ud800"}) if ask.method == "POST" and b"/a" in ask.body else None
        world.run(Step.SEND)
        assert (world.store.get("a").attempts, world.store.get("b").state) == (1, State.RUNNING)
        world.scraper.before = lambda _: None
        world.bring_home()
        assert len(world.results()) == 2


class TestCancelling:
    def test_a_running_job_is_cancelled_at_the_remote_and_has_one_envelope(self, world):
        world.send("a")
        assert world.store.cancel("a") == ("marked", "default")
        world.run(Step.CANCEL, Step.POLL)
        assert world.results()["a"]["status"] == "cancelled"
        assert (world.scraper.deletes[A], world.scraper.jobs) == (1, {})

    def test_a_queued_job_is_cancelled_without_the_remote(self, world):
        world.submit("a")
        world.store.cancel("a")
        asked = len(world.wire.asked)
        world.run(Step.CANCEL)
        assert world.results()["a"]["status"] == "cancelled"
        assert len(world.wire.asked) == asked

    def test_a_job_that_is_being_sent_is_cancelled_at_the_remote_afterwards(self, world):
        world.submit("a")
        world.scraper.before = lambda ask: world.store.cancel("a") and None if ask.method == "POST" else None
        world.run(Step.SEND, Step.CANCEL)
        assert world.results()["a"]["status"] == "cancelled"
        assert world.scraper.jobs == {}

    def test_a_remote_that_does_not_answer_is_asked_again(self, world):
        world.send("a")
        world.store.cancel("a")
        world.scraper.before = lambda _: Reply(hang_up=True)
        world.run(Step.CANCEL)
        assert world.store.get("a").state is State.RUNNING
        world.scraper.before = lambda _: None
        world.bring_home()
        assert world.results()["a"]["status"] == "cancelled"

    def test_a_job_that_the_remote_does_not_know_any_more_is_cancelled(self, world):
        world.send("a")
        world.scraper.jobs.clear()
        world.store.cancel("a")
        world.run(Step.CANCEL)
        assert world.results()["a"]["status"] == "cancelled"


def test_an_unknown_status_is_logged_once(fresh, caplog):
    world = fresh(looks=5)
    world.send("a", "b")
    world.scraper.before = lambda _: as_json({"id": "x", "status": "pondering anew"})
    for _ in range(2):
        world.run(Step.POLL)
        world.clock.now += 30
    assert [record.args for record in caplog.records if "unknown status" in record.message] == [("pondering anew",)]


def test_heavy_answers_are_written_in_portions_that_go_through(fresh, monkeypatch):
    monkeypatch.setattr("jobs.flow.HEAVY", 30)
    world = fresh(looks=0)
    world.send("a", "b", "c")
    sizes = []

    class Counting:
        def __getattr__(self, name):
            return getattr(world.store, name)

        def apply(self, step, decided, now):
            sizes.append(len(decided))
            return world.store.apply(step, decided, now)

    replace(world.flow, store=Counting()).run_batch(Step.POLL, "default")
    assert sizes == [1, 1, 1]
    assert len(world.results()) == 3
