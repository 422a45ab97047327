"""The ends of records, and cancellations, on a real server."""

import pytest
from redis.exceptions import ResponseError

from longhaul.ledger.due import StoredResult
from longhaul.ledger.results import PREFIX, stream
from tests.builders import HOUR, START
from tests.rows import LEASE, SPACE, claim, counts, finish, ids, move, put

DAY = 24 * HOUR


class TestFinish:
    def test_an_end_is_state_envelope_task_result_and_index_in_one(self, due, redis):
        put(due, "a")
        claim(due)
        with redis.pubsub() as waiting:
            waiting.subscribe("result-a")
            assert waiting.get_message(timeout=5)["type"] == "subscribe"
            options = {
                "stream": stream("q"),
                "envelope": b'{"id":"a"}',
                "result": StoredResult("result-a", "finished", 50),
                "forget": ("text",),
            }
            assert finish(due, "a", 1, set_fields={"why": "over"}, **options) == "finished"
            assert waiting.get_message(timeout=5)["data"] == "finished"
        row = due.get("a")
        assert row.fields.items() >= {"state": "done", "why": "over", "lane": "", "ended": "1800000000.000"}.items()
        assert "lease" not in row.fields
        assert row.blobs == {"text": ""}
        assert [fields for _, fields in redis.xrange(stream("q"))] == [{"envelope": '{"id":"a"}'}]
        assert (redis.get("result-a"), redis.ttl("result-a")) == ("finished", 50)
        assert due.books().lanes[0].open == 0
        assert counts(due) == {"submitted": 1, "done": 1, "envelopes": 1}
        assert 0 < redis.ttl(f"{SPACE}:record:a") <= 600

    def test_an_end_leaves_one_envelope_however_often_it_is_written(self, due, redis):
        put(due, "a")
        claim(due)
        calls = [
            due.finishing("a", 1, "done", keep=600, stream=stream("q"), envelope="{}", result=StoredResult("n", "1", 9))
            for _ in range(3)
        ]
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
            finish(due, "a", 1, stream=stream("q"), envelope="{}", result=StoredResult("result-a", "finished", 50))
        assert (due.get("a"), due.books(), redis.get("result-a")) == (before, books, None)

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
        assert {lane.name: lane.open for lane in due.books().lanes} == {"lane": 0, "cancelling": 1}
        assert [row.fields["lane"] for row in claim(due, lane="cancelling").rows] == ["cancelling"]

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

    def test_cancelling_again_does_not_hurry_a_cancellation_that_waits_for_its_next_try(self, due):
        put(due, "a")
        due.cancel("a", "cancelling")
        claim(due, lane="cancelling")
        move(due, "a", 1, lane="cancelling", at=START + 50)
        assert due.cancel("a", "cancelling") == "marked"
        assert ids(claim(due, lane="cancelling")) == []

    def test_an_ended_record_answers_with_its_state_and_an_unknown_one_is_missing(self, due):
        put(due, "a")
        finish(due, "a", 0)
        assert due.cancel("a", "cancelling") == "done"
        assert due.cancel("b", "cancelling") == "missing"
