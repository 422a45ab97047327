"""Records that make a step raise: they never block their batch, are set aside after three tries, and come back when
somebody says so.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ResponseError

from longhaul.jobs.decider import Decider
from longhaul.jobs.flow import Flow, PushOutcome
from longhaul.jobs.job import JobStep
from longhaul.work.balance import balance
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Snooze
from longhaul.work.item import State
from longhaul.work.retry_policies import Policies
from tests.builders import envelopes
from tests.flow.conftest import LEASE, World
from tests.flow.scraper import result
from tests.wire import Reply

SPACE = "longhaul:{jobs}"


def spoil(world: World, id_: str, name: str, value: str | bytes) -> None:
    """Write `value` into a blob or a field of a record, as no part of ours would."""
    if name in {"subject", "options"}:
        world.redis.set(f"{SPACE}:{name}:{id_}", value)
    else:
        world.redis.hset(f"{SPACE}:record:{id_}", name, value)


def wait_out(world: World, *steps: JobStep, rounds: int = 6) -> None:
    """Healthy batches, with more time between them than any pause before the next try."""
    for _ in range(rounds):
        world.run(*(steps or JobStep))
        world.clock.now += 130


def aside(world: World) -> dict[str, tuple[str, str]]:
    """Lane of origin and reason of each job that is set aside; the books balance."""
    assert balance(world.store.books()).faults == []
    assert world.store.quarantine.count() == len(world.store.quarantine.ids())
    return {one.id: (one.origin, one.words) for one in world.store.quarantine.first(100)}


SPOILT = [
    ("subject", "{", "subject"),
    ("subject", '["a"]', "subject"),
    ("subject", '{"url": 5}', "subject"),
    ("subject", "{}", "subject"),
    ("subject", b'{"url": "http://x/\xff"}', "subject"),
    ("state", "perhaps", "state"),
    ("created", "soon", "created"),
    ("created", "inf", "created"),
    ("created", "nan", "created"),
    ("created", "1e300", "created"),
    ("fence", "first", ""),
    ("attempts", "many", "attempts"),
    ("losses", "1.5", "losses"),
    ("queue", b"\xff\xfe", "queue"),
    ("queue", "a:b", "queue"),
]


@pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
@pytest.mark.parametrize(("name", "value", "named"), [case for case in SPOILT if case[2]])
def test_a_record_that_cannot_be_read_is_set_aside_and_the_others_go_on(world, name, value, named, step):
    (world.send if step is JobStep.POLL else world.submit)("bad", "good")
    spoil(world, "bad", name, value)
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert aside(world) == {"bad": (f"{step}:default", f"cannot be read: {named}")}
    assert world.scraper.posts["https://example.com/bad"] == (step is JobStep.POLL)
    # Whatever is waited for: it stays until somebody decides.
    world.clock.now += 100 * 3600
    wait_out(world)
    assert list(aside(world)) == ["bad"]


@pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
@pytest.mark.parametrize("count", ["submissions", "polls"])
def test_a_counter_that_is_no_number_is_no_exception(world, step, count):
    (world.send if step is JobStep.POLL else world.submit)("bad", "good")
    spoil(world, "bad", count, "x")
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert aside(world) == {"bad": (f"{step}:default", f"cannot be read: {count}")}


def test_a_fence_that_is_no_number_is_replaced(world):
    world.send("a")
    spoil(world, "a", "fence", "first")
    world.bring_home()
    assert world.results()["a"]["status"] == "finished"


def test_a_record_that_is_no_hash_does_not_keep_the_others_from_being_claimed(world):
    world.send("bad", "good")
    world.redis.delete(f"{SPACE}:record:bad")
    world.redis.set(f"{SPACE}:record:bad", "x")
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]


def test_a_blob_of_another_type_is_as_good_as_none(world):
    world.submit("bad", "good")
    world.redis.delete(f"{SPACE}:subject:bad")
    world.redis.rpush(f"{SPACE}:subject:bad", "x")
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert list(aside(world)) == ["bad"]


def test_a_record_without_a_queue_does_not_keep_the_others_from_being_looked_at(world):
    world.send("bad", "good")
    world.redis.hdel(f"{SPACE}:record:bad", "queue")
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert aside(world) == {"bad": ("poll:default", "cannot be read: queue")}


class Bug:
    """A decider with a bug that meets one job: the fault of a program cannot be made at the far end."""

    def __init__(self, id_: str, at: str) -> None:
        self._decider, self._id, self._at = Decider(Policies()), id_, at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._decider, name)

        def decide(job: Any, *args: Any) -> Any:
            if name == self._at and job.id == self._id:
                raise KeyError("apiKey=hunter2")
            return found(job, *args)

        return decide


def buggy(world: World, id_: str, at: str) -> Flow:
    return replace(world.flow, decider=Bug(id_, at))


@pytest.mark.parametrize(("step", "at"), [(JobStep.SEND, "after_send"), (JobStep.POLL, "after_poll")])
def test_a_job_on_which_nothing_can_be_decided_is_set_aside_after_three_tries_and_says_where_but_not_with_what(
    world, caplog, step, at
):
    (world.send if step is JobStep.POLL else world.submit)("bad", "good")
    flow = buggy(world, "bad", at)
    tries = []
    with caplog.at_level(logging.INFO, logger="longhaul.jobs.flow"):
        for _ in range(5):
            tries.append(flow.run_batch(step, "default").crashed)
            world.clock.now += 130
    assert tries == [1, 1, 1, 0, 0]
    ((id_, (lane, words)),) = aside(world).items()
    assert (id_, lane) == ("bad", f"{step}:default")
    assert words.startswith("deciding: KeyError at test_poison.py:")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3 + ["ERROR"]
    assert "hunter2" not in caplog.text + words
    world.run(*JobStep)
    assert world.store.get("good").state in {State.RUNNING, State.FINISHED}


def test_the_tries_are_half_a_minute_and_a_minute_apart_and_cost_nothing_that_was_not_asked(world):
    world.submit("bad")
    spoil(world, "bad", "created", "x")
    begun, tried = world.clock.now, []
    for _ in range(130):
        if world.flow.run_batch(JobStep.SEND, "default").crashed:
            tried.append(world.clock.now - begun)
        world.clock.now += 1
    assert tried == [0, 30, 90]
    assert world.redis.hget(f"{SPACE}:record:bad", "submissions") == "0"


def test_a_job_whose_answer_was_read_counts_as_asked(world):
    world.submit("bad")
    buggy(world, "bad", "after_send").run_batch(JobStep.SEND, "default")
    assert world.store.get("bad").submissions == 1


def test_a_job_whose_envelope_cannot_be_written_keeps_no_other_back(fresh):
    # The claim leaves jobs alone whose results queue is no stream; it became one afterwards.
    world = fresh(0)
    world.submit("bad", queue="wrong")
    world.submit("good")
    world.run(JobStep.SEND)
    world.clock.now += 10

    world.scraper.before = lambda _: world.redis.set("longhaul:results:wrong", "x") and None
    report = world.flow.run_batch(JobStep.POLL, "default")
    assert (report.claimed, report.crashed, report.counts["finish"]) == (2, 1, 1)
    assert world.redis.hget(f"{SPACE}:record:bad", "crash") == "writing: ResponseError"
    # The result is gone with that reading, and the job is submitted again, once its queue is one.
    world.redis.delete("longhaul:results:wrong")
    world.scraper.before = lambda _: None
    world.bring_home()
    assert [(one["id"], one["submissions"]) for one in envelopes(world.redis, "wrong")] == [("bad", 2)]


def test_a_ledger_that_refuses_every_write_is_no_fault_of_the_records(world):
    world.send("a")
    # As a server answers whose disk is full: whatever is written is refused, the count of crashes among it.
    world.scraper.before = lambda _: world.redis.config_set("min-replicas-to-write", 1) and None
    try:
        with pytest.raises(ResponseError, match="NOREPLICAS"):
            world.flow.run_batch(JobStep.POLL, "default")
    finally:
        world.redis.config_set("min-replicas-to-write", 0)
    assert "crashes" not in world.redis.hgetall(f"{SPACE}:record:a")


def test_an_id_that_is_no_utf_8_does_not_keep_the_others_from_being_claimed(world):
    world.submit("bad", "good")
    strange = b"\xff"
    for name in (b"record", b"subject"):
        world.redis.rename(SPACE.encode() + b":" + name + b":bad", SPACE.encode() + b":" + name + b":" + strange)
    world.redis.zrem(f"{SPACE}:due:send:default", "bad")
    world.redis.zadd(f"{SPACE}:due:send:default", {strange: world.clock.now})
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert [lane for lane, _ in aside(world).values()] == ["send:default"]


class TestBack:
    def test_what_was_mended_goes_on_from_the_step_that_it_was_taken_from(self, world):
        world.send("bad")
        spoil(world, "bad", "created", "x")
        wait_out(world)
        spoil(world, "bad", "created", f"{world.clock.now - 5000:.3f}")
        assert world.store.quarantine.retry(["bad", "nobody"]) == ["poll:default", "missing"]
        assert world.store.quarantine.retry(["bad"]) == ["not in quarantine"]
        assert aside(world) == {}
        assert not {"crashes", "crash", "origin"} & set(world.redis.hgetall(f"{SPACE}:record:bad"))
        world.bring_home()
        assert world.results()["bad"]["status"] == "finished"
        assert world.scraper.posts["https://example.com/bad"] == 1

    def test_what_is_still_wrong_has_three_tries_again(self, world):
        world.submit("bad")
        spoil(world, "bad", "created", "x")
        wait_out(world)
        world.store.quarantine.retry(world.store.quarantine.ids())
        assert [world.flow.run_batch(JobStep.SEND, "default").crashed for _ in range(2)] == [1, 0]
        assert aside(world) == {}
        wait_out(world)
        assert list(aside(world)) == ["bad"]

    def test_nobody_dispatches_what_is_set_aside(self, world):
        world.submit("bad")
        spoil(world, "bad", "created", "x")
        wait_out(world)
        assert [world.store.dispatch(step) for step in JobStep] == [[], [], []]

    def test_a_late_writer_does_not_move_what_was_set_aside(self, world):
        world.send("bad")
        (job,) = world.store.claim(JobStep.POLL, "default").jobs
        world.clock.now += LEASE
        spoil(world, "bad", "created", "x")
        wait_out(world)
        (applied,) = world.store.apply(JobStep.POLL, [(job, Snooze(world.clock.now))], world.clock.now)
        assert applied.written == "stale"
        assert list(aside(world)) == ["bad"]


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
                assert list(aside(world)) == ["bad"]
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
        assert world.flow.take_pushed("bad", result("remote-1", "https://example.com/bad")) is PushOutcome.LATER
        with pytest.raises(CorruptRecord, match=r"cannot be read: created"):
            world.store.get("bad")

    def test_a_result_of_a_job_that_is_set_aside_ends_it(self, world):
        world.send("bad")
        flow = buggy(world, "bad", "after_poll")
        for _ in range(3):
            flow.run_batch(JobStep.POLL, "default")
            world.clock.now += 130
        assert list(aside(world)) == ["bad"]
        assert world.flow.take_pushed("bad", result("remote-1", "https://example.com/bad")) is PushOutcome.TAKEN
        assert world.results()["bad"]["status"] == "finished"
