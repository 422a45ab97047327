"""Writing, claiming and moving records on a real server, with a clock that the tests set."""

from longhaul.ledger.due import Due, NewRecord
from longhaul.ledger.results import stream
from tests.builders import HOUR, START, Clock
from tests.rows import LEASE, SPACE, TABLE, claim, counts, fence, finish, ids, move, put

DAY = 24 * HOUR


class TestCreate:
    def test_a_new_record_is_due_at_once_with_its_fields_and_blobs(self, due):
        put(due, "a", queue="q")
        row = due.get("a")
        assert row.fields == {"state": "open", "lane": "lane", "created": "1800000000.000", "queue": "q", "v": "1"}
        assert row.blobs == {"text": "text of a"}
        assert ids(claim(due)) == ["a"]

    def test_a_record_that_is_there_stays_as_it_is(self, due):
        put(due, "a", queue="q")
        new = [NewRecord("a", "busy", "other", {"queue": "w"}, {"text": "x"}), NewRecord("b", "open", "lane", {})]
        assert due.create(new) == [False, True]
        assert due.get("a").fields["queue"] == "q"
        assert due.get("a").blobs == {"text": "text of a"}
        assert counts(due) == {"submitted": 2, "open": 2}

    def test_a_record_named_twice_in_one_call_is_written_once(self, due):
        assert due.create([NewRecord("a", "open", "lane", {}), NewRecord("a", "open", "lane", {})]) == [True, False]

    def test_none_is_nothing(self, due):
        assert due.create([]) == []

    def test_an_ended_record_is_not_written_again(self, due):
        put(due, "a")
        finish(due, "a", 0)
        assert due.create([NewRecord("a", "open", "lane", {})]) == [False]
        assert ids(claim(due)) == []

    def test_an_unknown_record_is_none(self, due):
        assert due.get("a") is None


class TestClaim:
    def test_the_oldest_due_goes_first_and_what_is_not_due_stays(self, due, clock):
        for at, id_ in ((30, "c"), (10, "a"), (20, "b"), (99, "z")):
            put(due, id_)
            move(due, id_, 0, at=START + at)
        clock.now += 50
        first = claim(due, limit=2)
        assert (ids(first), first.more) == (["a", "b"], True)
        second = claim(due, limit=2)
        assert (ids(second), second.more) == (["c"], False)
        clock.now += 49
        assert ids(claim(due)) == ["z"]

    def test_a_claim_tells_the_time_and_gives_every_field_and_the_blobs_that_were_asked_for(self, due):
        put(due, "a")
        claimed = claim(due)
        assert (claimed.now, claimed.pauses) == (START, 0)
        assert claimed.rows[0].fields["fence"] == "1"
        assert claimed.rows[0].fields["lease"] == "1800000100.000"
        assert claimed.rows[0].blobs == {"text": "text of a"}
        put(due, "b")
        assert claim(due, blobs=()).rows[0].blobs == {}

    def test_claimed_work_is_due_again_when_its_lease_ends_and_not_before(self, due, clock):
        put(due, "a")
        claim(due)
        clock.now += LEASE - 0.01
        assert ids(claim(due)) == []
        clock.now += 0.01
        assert ids(claim(due)) == ["a"]
        assert fence(due) == 2

    def test_a_claim_counts_up_the_field_it_is_told_to(self, due, clock):
        put(due, "a")
        claim(due, count="tries")
        clock.now += LEASE
        assert claim(due, count="tries").rows[0].fields["tries"] == "2"

    def test_lanes_are_apart(self, due):
        put(due, "a", lane="one")
        put(due, "b", lane="two")
        assert ids(claim(due, lane="one")) == ["a"]
        assert ids(claim(due, lane="none")) == []

    def test_an_index_entry_without_a_record_is_dropped(self, due, redis):
        put(due, "a", "b")
        redis.delete(f"{SPACE}:record:a")
        assert ids(claim(due)) == ["b"]
        assert due.books().lanes[0].open == 1

    def test_nothing_is_claimed_with_a_limit_of_none(self, due):
        put(due, "a")
        claimed = claim(due, limit=0)
        assert (ids(claimed), claimed.more) == ([], True)


class TestFence:
    def test_a_writer_whose_lease_has_passed_to_another_is_stale(self, due, clock):
        put(due, "a")
        claim(due)
        clock.now += LEASE
        claim(due)
        before = due.get("a")
        assert move(due, "a", 1, "busy") == "stale"
        assert finish(due, "a", 1, stream=stream("q"), envelope="{}") == "stale"
        assert due.get("a") == before
        assert move(due, "a", 2, "busy") == "moved"

    def test_a_writer_whose_lease_has_passed_and_whom_nobody_followed_is_in_time(self, due, clock):
        put(due, "a")
        claim(due)
        clock.now += 10 * LEASE
        assert move(due, "a", 1, "busy") == "moved"

    def test_a_writer_has_his_say_once(self, due):
        put(due, "a")
        claim(due)
        assert move(due, "a", 1) == "moved"
        assert move(due, "a", 1) == "stale"

    def test_a_writer_with_a_fence_of_the_future_is_stale(self, due):
        put(due, "a")
        assert move(due, "a", 7) == "stale"

    def test_an_unknown_record_is_missing(self, due):
        assert move(due, "a", 0) == finish(due, "a", 0) == "missing"

    def test_what_has_ended_takes_nothing_any_more(self, due):
        put(due, "a")
        assert finish(due, "a", 0) == "finished"
        for written in (move(due, "a", 0), move(due, "a", 0, "done"), finish(due, "a", 0), finish(due, "a", 1)):
            assert written == "ended"

    def test_a_step_that_the_table_does_not_have_is_refused(self, due, redis):
        narrow = Due(redis, SPACE, {"open": ["busy"], "busy": [], "done": ()}, clock=Clock())
        put(due, "a")
        assert finish(narrow, "a", 0) == "ended"
        assert due.get("a").fields["state"] == "open"


class TestMove:
    def test_a_moved_record_has_one_index_entry_in_its_new_lane_and_its_new_due_time(self, due, clock):
        put(due, "a")
        claim(due)
        assert move(due, "a", 1, "busy", "next", START + 5) == "moved"
        lanes = {lane.name: (lane.open, lane.due) for lane in due.books().lanes}
        assert lanes == {"lane": (0, 0), "next": (1, 0)}
        clock.now += 5
        assert ids(claim(due, lane="next")) == ["a"]

    def test_fields_are_set_and_counted(self, due):
        put(due, "a", remote="")
        move(due, "a", 0, set_fields={"remote": "r", "sent": "5"}, add={"polls": 1, "tries": -1})
        move(due, "a", 1, add={"polls": 2})
        fields = due.get("a").fields
        assert [fields[name] for name in ("remote", "sent", "polls", "tries", "fence")] == ["r", "5", "3", "-1", "2"]

    def test_the_lease_ends_with_the_move(self, due):
        put(due, "a")
        claim(due)
        move(due, "a", 1)
        assert "lease" not in due.get("a").fields

    def test_the_books_follow_the_state(self, due):
        put(due, "a", "b")
        move(due, "a", 0, "busy")
        assert counts(due) == {"submitted": 2, "open": 1, "busy": 1}
        move(due, "a", 1, "open")
        assert counts(due) == {"submitted": 2, "open": 2}

    def test_without_a_due_time_a_record_leaves_the_index(self, due):
        put(due, "a")
        move(due, "a", 0, at=None)
        assert due.books().lanes[0].open == 0

    def test_a_cancelled_record_goes_to_the_cancelling_lane_at_once_whatever_was_decided(self, due):
        put(due, "a")
        claim(due)
        assert due.cancel("a", "cancelling") == "marked"
        assert move(due, "a", 1, "busy", "next", START + 500, cancelled_lane="cancelling") == "moved"
        assert ids(claim(due, lane="cancelling")) == ["a"]
        assert due.get("a").fields["state"] == "busy"

    def test_within_the_cancelling_lane_a_record_waits_for_its_time(self, due):
        put(due, "a")
        due.cancel("a", "cancelling")
        claim(due, lane="cancelling")
        move(due, "a", 1, "open", "cancelling", START + 50, cancelled_lane="cancelling")
        assert ids(claim(due, lane="cancelling")) == []


def test_without_a_clock_the_servers_own_time_is_used(redis):
    due = Due(redis, SPACE, TABLE)
    seconds = redis.time()[0]
    put(due, "a")
    claimed = claim(due)
    assert seconds <= claimed.now <= redis.time()[0] + 1
    assert abs(due.now() - claimed.now) < 60
    assert abs(due.books().now - claimed.now) < 60


def test_the_ledger_tells_when_the_due_loop_last_came_round(due, clock):
    assert due.ticked() is None
    clock.now += 5
    due.dispatch("step", ["lane"], size=1, most=1, lease=LEASE)
    assert due.ticked() == START + 5


def test_nothing_to_write_is_nothing(due):
    assert due.write([]) == []
