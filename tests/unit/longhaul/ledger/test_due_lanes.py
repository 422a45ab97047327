"""Pauses, back-pressure and the due loop: what holds a lane up, on a real server."""

import pytest
from redis.exceptions import OutOfMemoryError

from longhaul.ledger.due import HighWater
from longhaul.ledger.results import PREFIX, stream
from tests.builders import HOUR, START
from tests.rows import LEASE, claim, fence, ids, move, put

DAY = 24 * HOUR


class TestPauses:
    def test_of_a_paused_lane_nothing_is_claimed(self, due, clock):
        put(due, "a")
        assert due.pause("lane", START + 30, "why", 0) == 1
        clock.now += 29.9
        claimed = claim(due)
        assert (ids(claimed), claimed.pauses, claimed.more) == ([], 1, False)

    def test_after_the_pause_one_goes_ahead_and_the_others_wait_for_what_it_meets(self, due, clock):
        put(due, "a", "b", "c")
        due.pause("lane", START + 30, "why", 0)
        clock.now += 30
        probe = claim(due)
        assert (ids(probe), probe.pauses, probe.more) == (["a"], 1, False)
        assert ids(claim(due)) == []
        due.resume("lane")
        assert ids(claim(due)) == ["b", "c"]

    def test_a_probe_that_dies_is_followed_by_another_after_its_lease(self, due, clock):
        put(due, "a", "b")
        due.pause("lane", START + 30, "why", 0)
        clock.now += 30
        claim(due)
        clock.now += LEASE
        assert len(ids(claim(due))) == 1

    def test_a_hundred_refusals_of_one_batch_are_one_pause_and_the_longest_holds(self, due):
        put(due, "a")
        assert [due.pause("lane", START + until, "why", 0) for until in (30, 50, 40)] == [1, 1, 1]
        assert due.books().lanes[0].paused_until == START + 50
        assert due.pause("lane", START + 90, "why", 1) == 2

    def test_records_past_their_deadline_leave_a_paused_lane(self, due, clock):
        put(due, "old")
        clock.now += 100
        put(due, "young")
        due.pause("lane", START + 10_000, "why", 0)
        clock.now += 10
        assert ids(claim(due, deadline=100.0)) == ["old"]
        assert ids(claim(due, deadline=100.0)) == []

    def test_a_record_past_its_deadline_leaves_a_paused_lane_however_many_others_stand_before_it(self, due, clock):
        put(due, "old")
        move(due, "old", 0, at=START + 100)
        clock.now += 50
        put(due, *(f"young {n}" for n in range(95)))
        due.pause("lane", START + 10_000, "why", 0)
        clock.now = START + 100
        claims = [claim(due, limit=2, deadline=100.0) for _ in range(6)]
        assert [ids(claimed) for claimed in claims] == [[], [], [], [], ["old"], []]
        assert [claimed.more for claimed in claims] == [True, True, True, True, False, False]

    def test_a_paused_lane_that_was_walked_through_rests_so_that_many_batches_do_not_walk_it_at_once(self, due, clock):
        put(due, *(f"young {n}" for n in range(30)))
        due.pause("lane", START + 10_000, "why", 0)
        assert [claim(due, limit=2).more for _ in range(4)] == [True, False, False, False]
        clock.now += 600
        assert [claim(due, limit=2).more for _ in range(3)] == [True, False, False]

    def test_the_next_pause_within_a_minute_of_a_good_probe_is_counted_on(self, due, clock, redis):
        put(due, "a", "b")
        assert due.pause("lane", START + 30, "why", 0) == 1
        clock.now += 31
        probe = claim(due)
        assert (probe.probe, probe.pauses, len(probe.rows)) == (True, 1, 1)
        due.resume("lane")
        after = claim(due)
        assert (after.probe, after.pauses, len(after.rows)) == (False, 1, 1)
        assert 0 < redis.ttl("longhaul:{test}:pause:lane") <= 60
        assert due.pause("lane", START + 90, "why", after.pauses) == 2
        assert redis.ttl("longhaul:{test}:pause:lane") > DAY

    def test_a_pause_that_nobody_ends_is_forgotten_a_day_after_it(self, due, redis):
        due.pause("lane", START + 30, "why", 0)
        assert DAY < redis.ttl("longhaul:{test}:pause:lane") <= DAY + 30
        # A longer one of the same batch, and one that was over before it was noted.
        due.pause("lane", START + 900, "why", 0)
        assert DAY + 30 < redis.ttl("longhaul:{test}:pause:lane") <= DAY + 900
        due.pause("other", START - 2 * DAY, "why", 0)
        assert 0 < redis.ttl("longhaul:{test}:pause:other") <= DAY

    def test_a_hold_that_comes_after_the_pause_was_ended_is_a_whole_pause(self, due, clock):
        put(due, "a", "b")
        due.pause("lane", START + 30, "why", 0)
        clock.now += 31
        stalled = claim(due)
        due.resume("lane")
        due.pause("lane", START + 60, "late", stalled.pauses)
        clock.now += 200
        assert claim(due).probe is True

    def test_other_lanes_go_on(self, due):
        put(due, "a", lane="one")
        put(due, "b", lane="two")
        due.pause("one", START + 30, "why", 0)
        assert ids(claim(due, lane="two")) == ["b"]

    def test_the_books_tell_of_the_pause(self, due, clock):
        put(due, "a")
        due.pause("lane", START + 30, "HTTP 401", 0)
        clock.now += 1
        (lane,) = due.books().lanes
        assert (lane.name, lane.open, lane.due, lane.oldest, lane.paused_until, lane.reason) == (
            "lane",
            1,
            1,
            START,
            START + 30,
            "HTTP 401",
        )
        due.resume("lane")
        (lane,) = due.books().lanes
        assert (lane.paused_until, lane.reason) == (None, None)


class TestBackPressure:
    FULL = HighWater(entries=3, bytes=10**9, queues=PREFIX, put_off=30, guaranteed=24 * HOUR, headroom=2 * HOUR)

    def fill(self, redis, entries=3, size=1, queue="q"):
        for _ in range(entries):
            redis.xadd(stream(queue), {"envelope": "x" * size})

    def look(self, due, high=FULL):
        return ids(claim(due, high_water=high))

    def test_looks_wait_while_their_queue_is_full_and_go_on_when_it_is_not(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        put(due, "b", queue="other")
        assert self.look(due) == ["b"]
        assert (fence(due, "a"), due.get("a").fields.get("lease")) == (0, None)
        redis.delete(stream("q"))
        clock.now += 29.9
        assert self.look(due) == []
        clock.now += 0.1
        assert self.look(due) == ["a"]

    def test_one_entry_below_the_mark_is_not_full(self, due, redis):
        self.fill(redis, 2)
        put(due, "a", queue="q")
        assert self.look(due) == ["a"]

    def test_a_queue_is_full_by_its_bytes_as_well(self, due, redis):
        self.fill(redis, 2, 50_000)
        put(due, "a", queue="q")
        assert self.look(due, HighWater(entries=100, bytes=90_000, queues=PREFIX)) == []
        assert self.look(due, HighWater(entries=100, bytes=10**6, queues=PREFIX)) == []  # put off already
        put(due, "b", queue="q")
        assert self.look(due, HighWater(entries=100, bytes=10**6, queues=PREFIX)) == ["b"]

    def test_a_job_close_to_its_deadline_does_not_wait(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"polled": f"{START + 69 * HOUR:.3f}"})
        clock.now = START + 70 * HOUR - 1
        assert self.look(due) == []
        clock.now = START + 70 * HOUR
        assert self.look(due) == ["a"]

    def test_a_job_that_was_looked_at_long_ago_does_not_wait(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"polled": f"{START:.3f}"})
        clock.now = START + 22 * HOUR - 1
        assert self.look(due) == []
        clock.now = START + 22 * HOUR
        assert self.look(due) == ["a"]

    def test_a_job_that_was_never_looked_at_does_not_wait_longer_than_what_was_sent_is_kept(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"sent": f"{START:.3f}"})
        clock.now = START + 22 * HOUR - 1
        assert self.look(due) == []
        clock.now = START + 22 * HOUR
        assert self.look(due) == ["a"]

    def test_a_job_that_was_submitted_again_is_judged_without_its_former_times(self, due, redis):
        self.fill(redis)
        put(due, "a", queue="q", sent="", looked="")
        assert self.look(due) == []

    def test_putting_off_never_reaches_beyond_the_time_from_which_it_may_not_wait(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"polled": f"{START:.3f}"})
        clock.now = START + 22 * HOUR - 5
        assert self.look(due) == []
        assert due.books().lanes[0].oldest == START + 22 * HOUR

    def test_without_a_mark_no_queue_is_full(self, due, redis):
        self.fill(redis)
        put(due, "a", queue="q")
        assert self.look(due, HighWater()) == ["a"]


class TestDispatch:
    def start(self, due, lanes=("lane",), size=2, most=10):
        return due.dispatch("step", lanes, size=size, most=most, lease=LEASE)

    def test_as_many_batches_as_there_is_due_work_and_room(self, due):
        put(due, *"abcde")
        assert [lane for lane, _ in self.start(due)] == ["lane"] * 3
        assert self.start(due) == []

    def test_a_lane_with_nothing_under_way_gets_a_batch_however_busy_the_others_are(self, due):
        put(due, *"abcdefgh")
        started = self.start(due, most=2)
        put(due, "x", lane="other")
        assert [lane for lane, _ in self.start(due, ("lane", "other"), most=2)] == ["other"]
        for lane, token in started:
            claim(due, limit=2, lane=lane, step="step", token=token)
        assert self.start(due, ("lane", "other"), most=2) == []

    def test_a_token_that_is_given_back_before_its_claim_makes_room_at_once(self, due):
        put(due, *"abcd")
        for _, token in self.start(due, most=2):
            due.leave("step", token)
        assert len(self.start(due, most=2)) == 2

    def test_at_most_so_many_at_once_in_all_lanes(self, due):
        put(due, *"abcde")
        put(due, *"vwxyz", lane="other")
        assert len(self.start(due, ("lane", "other"), most=4)) == 4
        assert self.start(due, ("lane", "other"), most=4) == []

    def test_without_due_work_nothing_starts(self, due):
        assert self.start(due) == []
        put(due, "a")
        move(due, "a", 0, at=START + 1)
        assert self.start(due) == []

    def test_tokens_are_never_the_same(self, due):
        put(due, *"abcdef")
        tokens = [token for _, token in self.start(due)]
        assert len(set(tokens)) == 3

    def test_a_batch_that_has_claimed_takes_room_and_none_of_the_work_that_is_left(self, due):
        put(due, "a", "b", "c")
        (_, first), (_, second) = self.start(due)
        claim(due, limit=2, step="step", token=first)
        put(due, "d", "e")
        assert len(self.start(due, most=3)) == 1
        claim(due, limit=2, step="step", token=second)
        assert self.start(due, most=3) == []

    def test_a_token_given_back_makes_room(self, due):
        put(due, "a")
        ((_, token),) = self.start(due, most=1)
        claim(due, limit=0, step="step", token=token)
        assert self.start(due, most=1) == []
        due.leave("step", token)
        assert len(self.start(due, most=1)) == 1

    @pytest.mark.parametrize("claims_first", [True, False])
    def test_a_lost_batch_makes_room_after_its_lease(self, due, clock, claims_first):
        put(due, "a")
        ((_, token),) = self.start(due, most=1)
        if claims_first:
            claim(due, step="step", token=token)
        clock.now += LEASE - 1
        assert self.start(due, most=1) == []
        clock.now += 1.1
        assert len(self.start(due, most=1)) == 1

    def test_steps_are_counted_apart(self, due):
        put(due, "a")
        assert len(self.start(due, most=1)) == 1
        assert len(due.dispatch("other", ["lane"], size=2, most=1, lease=LEASE)) == 1

    def test_a_paused_lane_gets_none_and_after_its_pause_one(self, due, clock):
        put(due, *"abcdef")
        due.pause("lane", START + 30, "why", 0)
        assert self.start(due) == []
        clock.now += 30
        assert len(self.start(due)) == 1
        assert self.start(due) == []

    def test_lanes_may_have_any_name(self, due):
        put(due, "a", lane="send:my:account#1")
        ((lane, token),) = self.start(due, ["send:my:account#1"])
        assert lane == "send:my:account#1"
        assert self.start(due, ["send:my:account#1"]) == []
        assert token.startswith(lane)


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


def test_a_results_key_that_is_no_stream_is_as_good_as_full(due, redis):
    put(due, "a", queue="wrong", sent=START)
    put(due, "b", queue="right", sent=START)
    redis.set("q:wrong", "x")
    taken = claim(due, high_water=HighWater(entries=10, bytes=10_000, queues="q:"))
    assert ids(taken) == ["b"]
