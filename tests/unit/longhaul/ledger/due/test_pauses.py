"""Pauses of a lane, on a real server."""

from tests.builders import HOUR, START
from tests.rows import LEASE, claim, ids, move, put

DAY = 24 * HOUR


class TestPauses:
    def test_of_a_paused_lane_nothing_is_claimed(self, due, clock):
        put(due, "a")
        assert due.pause("lane", START + 30, "why", 0) == 1
        clock.now += 29.9
        claimed = claim(due)
        assert (ids(claimed), claimed.pauses, claimed.more) == ([], 1, False)

    def test_after_the_pause_one_is_a_probe_and_the_others_wait_for_its_answer(self, due, clock):
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

    def test_a_hundred_refusals_of_one_batch_are_one_pause_the_longest(self, due):
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

    def test_a_paused_lane_is_scanned_by_one_batch_at_a_time(self, due, clock):
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

    def test_a_pause_that_no_probe_ends_is_forgotten_a_day_after_it(self, due, redis):
        due.pause("lane", START + 30, "why", 0)
        assert DAY < redis.ttl("longhaul:{test}:pause:lane") <= DAY + 30
        # A longer one of the same batch, and one that was over before it was noted.
        due.pause("lane", START + 900, "why", 0)
        assert DAY + 30 < redis.ttl("longhaul:{test}:pause:lane") <= DAY + 900
        due.pause("other", START - 2 * DAY, "why", 0)
        assert 0 < redis.ttl("longhaul:{test}:pause:other") <= DAY

    def test_a_refusal_after_the_end_of_a_pause_starts_a_whole_pause(self, due, clock):
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

    def test_the_books_name_the_pause(self, due, clock):
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
