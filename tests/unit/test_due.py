"""Every verb of the ledger on a real server, with a clock that the tests set."""

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from ledger.due import Due, HighWater, New, Note
from ledger.results import PREFIX, stream
from tests.builders import HOUR, START, Clock

TABLE = {"open": ["busy", "done"], "busy": ["open", "done"], "done": ()}
SPACE = "longhaul:{test}"
LEASE = 100.0
DAY = 24 * HOUR


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def due(redis, clock):
    return Due(redis, SPACE, TABLE, blobs=("text",), clock=clock)


def put(due, *ids, lane="lane", **fields):
    assert due.create([New(id_, "open", lane, fields, {"text": f"text of {id_}"}) for id_ in ids]) == [True] * len(ids)


def claim(due, limit=10, lane="lane", **options):
    return due.claim(lane, limit=limit, lease=LEASE, **({"deadline": 72 * HOUR} | options))


def ids(claimed):
    return [row.id for row in claimed.rows]


def fence(due, id_="a"):
    return int(due.get(id_).fields.get("fence", 0))


def move(due, id_, fence, state="open", lane="lane", at=START, **options):
    (written,) = due.write([due.moving(id_, fence, state, lane, at, **options)])
    return written


def finish(due, id_, fence, state="done", **options):
    (written,) = due.write([due.finishing(id_, fence, state, **({"keep": 600} | options))])
    return written


def counts(due):
    return {name: count for name, count in due.books().counts.items() if count}


class TestCreate:
    def test_a_new_record_is_due_at_once_with_its_fields_and_blobs(self, due):
        put(due, "a", queue="q")
        row = due.get("a")
        assert row.fields == {"state": "open", "lane": "lane", "created": "1800000000.000", "queue": "q", "v": "1"}
        assert row.blobs == {"text": "text of a"}
        assert ids(claim(due)) == ["a"]

    def test_a_record_that_is_there_stays_as_it_is(self, due):
        put(due, "a", queue="q")
        new = [New("a", "busy", "other", {"queue": "w"}, {"text": "x"}), New("b", "open", "lane", {})]
        assert due.create(new) == [False, True]
        assert due.get("a").fields["queue"] == "q"
        assert due.get("a").blobs == {"text": "text of a"}
        assert counts(due) == {"submitted": 2, "open": 2}

    def test_a_record_named_twice_in_one_call_is_written_once(self, due):
        assert due.create([New("a", "open", "lane", {}), New("a", "open", "lane", {})]) == [True, False]

    def test_none_is_nothing(self, due):
        assert due.create([]) == []

    def test_an_ended_record_is_not_written_again(self, due):
        put(due, "a")
        finish(due, "a", 0)
        assert due.create([New("a", "open", "lane", {})]) == [False]
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


class TestFinish:
    def test_an_end_is_state_envelope_note_and_index_in_one(self, due, redis):
        put(due, "a")
        claim(due)
        with redis.pubsub() as waiting:
            waiting.subscribe("note-a")
            assert waiting.get_message(timeout=5)["type"] == "subscribe"
            options = {"stream": stream("q"), "envelope": b'{"id":"a"}', "note": Note("note-a", "told", 50), "forget": ("text",)}
            assert finish(due, "a", 1, set_fields={"why": "over"}, **options) == "finished"
            assert waiting.get_message(timeout=5)["data"] == "told"
        row = due.get("a")
        assert row.fields.items() >= {"state": "done", "why": "over", "lane": "", "ended": "1800000000.000"}.items()
        assert "lease" not in row.fields
        assert row.blobs == {"text": ""}
        assert [fields for _, fields in redis.xrange(stream("q"))] == [{"envelope": '{"id":"a"}'}]
        assert (redis.get("note-a"), redis.ttl("note-a")) == ("told", 50)
        assert due.books().lanes[0].open == 0
        assert counts(due) == {"submitted": 1, "done": 1, "envelopes": 1}
        assert 0 < redis.ttl(f"{SPACE}:record:a") <= 600

    def test_an_end_leaves_one_envelope_however_often_it_is_written(self, due, redis):
        put(due, "a")
        claim(due)
        calls = [due.finishing("a", 1, "done", keep=600, stream=stream("q"), envelope="{}", note=Note("n", "1", 9)) for _ in range(3)]
        assert due.write(calls) == ["finished", "ended", "ended"]
        assert redis.xlen(stream("q")) == 1

    def test_without_a_queue_there_is_no_envelope(self, due, redis):
        put(due, "a")
        finish(due, "a", 0)
        assert counts(due) == {"submitted": 1, "done": 1}
        assert not [key for key in redis.scan_iter() if key.startswith(PREFIX)]

    def test_an_ended_record_may_go_on_in_a_lane(self, due):
        put(due, "a")
        finish(due, "a", 0, next_lane="cleaning")
        assert ids(claim(due, lane="cleaning")) == ["a"]

    def test_where_the_queue_cannot_take_the_envelope_nothing_has_happened(self, due, redis):
        put(due, "a")
        claim(due)
        redis.set(stream("q"), "not a stream")
        before, books = due.get("a"), due.books()
        with pytest.raises(ResponseError, match=r"WRONGTYPE"):
            finish(due, "a", 1, stream=stream("q"), envelope="{}", note=Note("note-a", "told", 50))
        assert (due.get("a"), due.books(), redis.get("note-a")) == (before, books, None)

    def test_where_memory_is_out_nothing_has_happened(self, due, redis):
        put(due, "a")
        claim(due)
        before = due.get("a")
        call = due.finishing("a", 1, "done", keep=600, stream=stream("q"), envelope="{}", forget=("text",))
        due.write([due.moving("unknown", 0, "open", "lane", None), due.finishing("unknown", 0, "done", keep=1)])
        redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(Exception, match=r"(?i)oom|memory"):
                due.write([call])
        finally:
            redis.config_set("maxmemory", 0)
        assert due.get("a") == before
        assert due.write([call]) == ["finished"]
        assert counts(due) == {"submitted": 1, "done": 1, "envelopes": 1}


class TestCancel:
    def test_a_waiting_record_is_due_for_cancelling_at_once(self, due):
        put(due, "a")
        move(due, "a", 0, at=START + 500)
        assert due.cancel("a", "cancelling") == "marked"
        assert ids(claim(due, lane="cancelling")) == ["a"]
        assert {lane.name: lane.open for lane in due.books().lanes} == {"lane": 0, "cancelling": 1}

    def test_a_claimed_record_is_left_to_its_claimant(self, due):
        put(due, "a")
        claim(due)
        assert due.cancel("a", "cancelling") == "marked"
        assert ids(claim(due, lane="cancelling")) == []
        assert finish(due, "a", 1) == "finished"

    def test_a_record_whose_claimant_died_is_handed_to_cancelling_when_its_lease_ends(self, due, clock):
        put(due, "a")
        claim(due)
        due.cancel("a", "cancelling")
        clock.now += LEASE
        assert ids(claim(due, cancelled_lane="cancelling")) == []
        assert ids(claim(due, lane="cancelling")) == ["a"]

    def test_a_record_whose_lease_has_ended_is_due_for_cancelling_at_once(self, due, clock):
        put(due, "a")
        claim(due)
        clock.now += LEASE
        assert due.cancel("a", "cancelling") == "marked"
        assert ids(claim(due, lane="cancelling")) == ["a"]

    def test_cancelling_twice_changes_nothing_more(self, due):
        put(due, "a")
        due.cancel("a", "cancelling")
        claim(due, lane="cancelling")
        before = due.get("a")
        assert due.cancel("a", "cancelling") == "marked"
        assert due.get("a") == before

    def test_an_ended_record_answers_with_its_state_and_an_unknown_one_is_missing(self, due):
        put(due, "a")
        finish(due, "a", 0)
        assert due.cancel("a", "cancelling") == "done"
        assert due.cancel("b", "cancelling") == "missing"


class TestPauses:
    def test_of_a_paused_lane_nothing_is_claimed(self, due, clock):
        put(due, "a")
        assert due.hold("lane", START + 30, "why", 0) == 1
        clock.now += 29.9
        claimed = claim(due)
        assert (ids(claimed), claimed.pauses, claimed.more) == ([], 1, False)

    def test_after_the_pause_one_goes_ahead_and_the_others_wait_for_what_it_meets(self, due, clock):
        put(due, "a", "b", "c")
        due.hold("lane", START + 30, "why", 0)
        clock.now += 30
        probe = claim(due)
        assert (ids(probe), probe.pauses, probe.more) == (["a"], 1, False)
        assert ids(claim(due)) == []
        due.resume("lane")
        assert ids(claim(due)) == ["b", "c"]

    def test_a_probe_that_dies_is_followed_by_another_after_its_lease(self, due, clock):
        put(due, "a", "b")
        due.hold("lane", START + 30, "why", 0)
        clock.now += 30
        claim(due)
        clock.now += LEASE
        assert len(ids(claim(due))) == 1

    def test_a_hundred_refusals_of_one_batch_are_one_pause_and_the_longest_holds(self, due):
        put(due, "a")
        assert [due.hold("lane", START + until, "why", 0) for until in (30, 50, 40)] == [1, 1, 1]
        assert due.books().lanes[0].paused_until == START + 50
        assert due.hold("lane", START + 90, "why", 1) == 2

    def test_records_past_their_deadline_leave_a_paused_lane(self, due, clock):
        put(due, "old")
        clock.now += 100
        put(due, "young")
        due.hold("lane", START + 10_000, "why", 0)
        clock.now += 10
        assert ids(claim(due, deadline=100.0)) == ["old"]
        assert ids(claim(due, deadline=100.0)) == []

    def test_a_record_past_its_deadline_leaves_a_paused_lane_however_many_others_stand_before_it(self, due, clock):
        put(due, "old")
        move(due, "old", 0, at=START + 100)
        clock.now += 50
        put(due, *(f"young {n}" for n in range(95)))
        due.hold("lane", START + 10_000, "why", 0)
        clock.now = START + 100
        claims = [claim(due, limit=2, deadline=100.0) for _ in range(6)]
        assert [ids(claimed) for claimed in claims] == [[], [], [], [], ["old"], []]
        assert [claimed.more for claimed in claims] == [True, True, True, True, False, False]

    def test_a_paused_lane_that_was_walked_through_rests_so_that_many_batches_do_not_walk_it_at_once(self, due, clock):
        put(due, *(f"young {n}" for n in range(30)))
        due.hold("lane", START + 10_000, "why", 0)
        assert [claim(due, limit=2).more for _ in range(4)] == [True, False, False, False]
        clock.now += 600
        assert [claim(due, limit=2).more for _ in range(3)] == [True, False, False]

    def test_the_next_pause_within_a_minute_of_a_good_probe_is_counted_on(self, due, clock, redis):
        put(due, "a", "b")
        assert due.hold("lane", START + 30, "why", 0) == 1
        clock.now += 31
        probe = claim(due)
        assert (probe.probe, probe.pauses, len(probe.rows)) == (True, 1, 1)
        due.resume("lane")
        after = claim(due)
        assert (after.probe, after.pauses, len(after.rows)) == (False, 1, 1)
        assert 0 < redis.ttl("longhaul:{test}:pause:lane") <= 60
        assert due.hold("lane", START + 90, "why", after.pauses) == 2
        assert redis.ttl("longhaul:{test}:pause:lane") > DAY

    def test_a_pause_that_nobody_ends_is_forgotten_a_day_after_it(self, due, redis):
        due.hold("lane", START + 30, "why", 0)
        assert DAY < redis.ttl("longhaul:{test}:pause:lane") <= DAY + 30
        # A longer one of the same batch, and one that was over before it was noted.
        due.hold("lane", START + 900, "why", 0)
        assert DAY + 30 < redis.ttl("longhaul:{test}:pause:lane") <= DAY + 900
        due.hold("other", START - 2 * DAY, "why", 0)
        assert 0 < redis.ttl("longhaul:{test}:pause:other") <= DAY

    def test_a_hold_that_comes_after_the_pause_was_ended_is_a_whole_pause(self, due, clock):
        put(due, "a", "b")
        due.hold("lane", START + 30, "why", 0)
        clock.now += 31
        stalled = claim(due)
        due.resume("lane")
        due.hold("lane", START + 60, "late", stalled.pauses)
        clock.now += 200
        assert claim(due).probe is True

    def test_other_lanes_go_on(self, due):
        put(due, "a", lane="one")
        put(due, "b", lane="two")
        due.hold("one", START + 30, "why", 0)
        assert ids(claim(due, lane="two")) == ["b"]

    def test_the_books_tell_of_the_pause(self, due, clock):
        put(due, "a")
        due.hold("lane", START + 30, "HTTP 401", 0)
        clock.now += 1
        (lane,) = due.books().lanes
        assert (lane.name, lane.open, lane.due, lane.oldest, lane.paused_until, lane.reason) == ("lane", 1, 1, START, START + 30, "HTTP 401")
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
        move(due, "a", 0, set_fields={"looked": f"{START + 69 * HOUR:.3f}"})
        clock.now = START + 70 * HOUR - 1
        assert self.look(due) == []
        clock.now = START + 70 * HOUR
        assert self.look(due) == ["a"]

    def test_a_job_that_was_looked_at_long_ago_does_not_wait(self, due, redis, clock):
        self.fill(redis)
        put(due, "a", queue="q")
        move(due, "a", 0, set_fields={"looked": f"{START:.3f}"})
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
        move(due, "a", 0, set_fields={"looked": f"{START:.3f}"})
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
        due.hold("lane", START + 30, "why", 0)
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
