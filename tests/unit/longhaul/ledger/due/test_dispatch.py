"""The due loop: how many batches start, and for which lanes."""

import pytest

from tests.builders import START
from tests.rows import LEASE, claim, move, put


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
