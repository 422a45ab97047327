"""Records that make a step raise: they never block their batch, are set aside after three tries, and come back when
somebody says so.
"""

from __future__ import annotations

import logging

import pytest
from redis.exceptions import ResponseError

from longhaul.jobs.job import JobStep
from longhaul.work.item import State
from tests.builders import envelopes
from tests.flow.corruption import SPACE, SPOILT, buggy, quarantined, spoil, wait_out


@pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
@pytest.mark.parametrize(("name", "value", "named"), [case for case in SPOILT if case[2]])
def test_a_record_that_cannot_be_read_is_quarantined_and_the_others_go_on(world, name, value, named, step):
    (world.send if step is JobStep.POLL else world.submit)("bad", "good")
    spoil(world, "bad", name, value)
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert quarantined(world) == {"bad": (f"{step}:default", f"cannot be read: {named}")}
    assert world.scraper.posts["https://example.com/bad"] == (step is JobStep.POLL)
    # Whatever is waited for: it stays until somebody decides.
    world.clock.now += 100 * 3600
    wait_out(world)
    assert list(quarantined(world)) == ["bad"]


@pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
@pytest.mark.parametrize("count", ["submissions", "polls"])
def test_a_counter_that_is_no_number_is_no_exception(world, step, count):
    (world.send if step is JobStep.POLL else world.submit)("bad", "good")
    spoil(world, "bad", count, "x")
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert quarantined(world) == {"bad": (f"{step}:default", f"cannot be read: {count}")}


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
    world.redis.delete(f"{SPACE}:target:bad")
    world.redis.rpush(f"{SPACE}:target:bad", "x")
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert list(quarantined(world)) == ["bad"]


def test_a_record_without_a_queue_does_not_keep_the_others_from_being_polled(world):
    world.send("bad", "good")
    world.redis.hdel(f"{SPACE}:record:bad", "queue")
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert quarantined(world) == {"bad": ("poll:default", "cannot be read: queue")}


@pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL])
def test_a_job_on_which_nothing_can_be_decided_is_quarantined_after_three_tries_and_says_where_but_not_with_what(
    world, caplog, step
):
    (world.send if step is JobStep.POLL else world.submit)("bad", "good")
    runner = buggy(world, "bad")
    tries = []
    with caplog.at_level(logging.INFO, logger="longhaul.work.store"):
        for _ in range(5):
            tries.append(runner.run(step, "default").crashed)
            world.clock.now += 130
    assert tries == [1, 1, 1, 0, 0]
    ((id_, (lane, words)),) = quarantined(world).items()
    assert (id_, lane) == ("bad", f"{step}:default")
    assert words.startswith("deciding: KeyError at corruption.py:")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3 + ["ERROR"]
    assert "hunter2" not in caplog.text + words
    world.run(*JobStep)
    assert world.store.get("good").state in {State.RUNNING, State.FINISHED}


def test_the_tries_are_half_a_minute_and_a_minute_apart_and_cost_nothing_that_was_not_asked(world):
    world.submit("bad")
    spoil(world, "bad", "created", "x")
    begun, tried = world.clock.now, []
    for _ in range(130):
        if world.runner.run(JobStep.SEND, "default").crashed:
            tried.append(world.clock.now - begun)
        world.clock.now += 1
    assert tried == [0, 30, 90]
    assert world.redis.hget(f"{SPACE}:record:bad", "submissions") == "0"


def test_a_job_whose_answer_was_read_counts_as_asked(world):
    world.submit("bad")
    buggy(world, "bad").run(JobStep.SEND, "default")
    assert world.store.get("bad").submissions == 1


def test_a_job_whose_envelope_cannot_be_written_keeps_no_other_back(fresh):
    # The claim leaves jobs alone whose results queue is no stream; it became one afterwards.
    world = fresh(0)
    world.submit("bad", queue="wrong")
    world.submit("good")
    world.run(JobStep.SEND)
    world.clock.now += 10

    world.scraper.before = lambda _: world.redis.set("longhaul:results:wrong", "x") and None
    report = world.runner.run(JobStep.POLL, "default")
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
            world.runner.run(JobStep.POLL, "default")
    finally:
        world.redis.config_set("min-replicas-to-write", 0)
    assert "crashes" not in world.redis.hgetall(f"{SPACE}:record:a")


def test_an_id_that_is_no_utf_8_does_not_keep_the_others_from_being_claimed(world):
    world.submit("bad", "good")
    strange = b"\xff"
    for name in (b"record", b"target"):
        world.redis.rename(SPACE.encode() + b":" + name + b":bad", SPACE.encode() + b":" + name + b":" + strange)
    world.redis.zrem(f"{SPACE}:due:send:default", "bad")
    world.redis.zadd(f"{SPACE}:due:send:default", {strange: world.clock.now})
    wait_out(world)
    assert [one["id"] for one in envelopes(world.redis)] == ["good"]
    assert [lane for lane, _ in quarantined(world).values()] == ["send:default"]
