"""Back-pressure: what a full results queue, or a server without memory, keeps a lane from claiming."""

import pytest
from redis.exceptions import OutOfMemoryError

from longhaul.ledger.due import HighWater
from longhaul.ledger.results import PREFIX, stream
from tests.builders import HOUR, START
from tests.rows import LEASE, claim, fence, ids, move, put

DAY = 24 * HOUR


class TestBackPressure:
    FULL = HighWater(entries=3, bytes=10**9, queues=PREFIX, put_off=30, guaranteed=24 * HOUR, headroom=2 * HOUR)

    def fill(self, redis, entries=3, size=1, queue="q"):
        for _ in range(entries):
            redis.xadd(stream(queue), {"envelope": "x" * size})

    def poll(self, due, high=FULL):
        return ids(claim(due, high_water=high))

    def test_polls_wait_while_their_queue_is_full_and_go_on_when_it_is_not(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        put(due, "b", queue="other")
        assert self.poll(due) == ["b"]
        assert (fence(due, "a"), due.get("a").fields.get("lease")) == (0, None)
        redis.delete(stream("q"))
        clock.now += 29.9
        assert self.poll(due) == []
        clock.now += 0.1
        assert self.poll(due) == ["a"]

    def test_one_entry_below_the_mark_is_not_full(self, due, redis):
        self.fill(redis, 2)
        put(due, "a", queue="q")
        assert self.poll(due) == ["a"]

    def test_a_queue_is_full_by_its_bytes_as_well(self, due, redis):
        self.fill(redis, 2, 50_000)
        put(due, "a", queue="q")
        assert self.poll(due, HighWater(entries=100, bytes=90_000, queues=PREFIX)) == []
        assert self.poll(due, HighWater(entries=100, bytes=10**6, queues=PREFIX)) == []  # put off already
        put(due, "b", queue="q")
        assert self.poll(due, HighWater(entries=100, bytes=10**6, queues=PREFIX)) == ["b"]

    def test_a_job_close_to_its_deadline_does_not_wait(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"polled": f"{START + 69 * HOUR:.3f}"})
        clock.now = START + 70 * HOUR - 1
        assert self.poll(due) == []
        clock.now = START + 70 * HOUR
        assert self.poll(due) == ["a"]

    def test_a_job_that_was_polled_long_ago_does_not_wait(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"polled": f"{START:.3f}"})
        clock.now = START + 22 * HOUR - 1
        assert self.poll(due) == []
        clock.now = START + 22 * HOUR
        assert self.poll(due) == ["a"]

    def test_a_job_that_was_never_polled_does_not_wait_longer_than_what_was_sent_is_kept(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"sent": f"{START:.3f}"})
        clock.now = START + 22 * HOUR - 1
        assert self.poll(due) == []
        clock.now = START + 22 * HOUR
        assert self.poll(due) == ["a"]

    def test_a_job_that_was_submitted_again_has_none_of_its_former_times(self, due, redis):
        self.fill(redis)
        put(due, "a", queue="q", sent="", polled="")
        assert self.poll(due) == []

    def test_putting_off_never_reaches_beyond_the_time_from_which_it_may_not_wait(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"polled": f"{START:.3f}"})
        clock.now = START + 22 * HOUR - 5
        assert self.poll(due) == []
        assert due.books().lanes[0].oldest == START + 22 * HOUR

    def test_without_a_mark_no_queue_is_full(self, due, redis):
        self.fill(redis)
        put(due, "a", queue="q")
        assert self.poll(due, HighWater()) == ["a"]


def test_where_memory_is_out_nothing_is_claimed_whose_end_would_be_refused(due, redis):
    put(due, "a")
    ((lane, token),) = due.dispatch("step", ["lane"], size=1, most=1, lease=LEASE)
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            claim(due, lane=lane, step="step", token=token)
    finally:
        redis.config_set("maxmemory", 0)
    assert fence(due) == 0
    assert ids(claim(due)) == ["a"]


def test_a_results_key_that_is_no_stream_counts_as_full(due, redis):
    put(due, "a", queue="wrong", sent=START)
    put(due, "b", queue="right", sent=START)
    redis.set("q:wrong", "x")
    taken = claim(due, high_water=HighWater(entries=10, bytes=10_000, queues="q:"))
    assert ids(taken) == ["b"]
