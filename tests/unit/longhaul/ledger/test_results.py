import json

import pytest
from redis.exceptions import ResponseError

from longhaul.ledger.results import Reader, stream


def put(redis, *ids, queue="q"):
    for id_ in ids:
        redis.xadd(stream(queue), {"envelope": json.dumps({"id": id_})})


def ids(entries):
    return [entry.envelope["id"] for entry in entries]


@pytest.fixture
def reader(redis):
    return Reader(redis, "q", "group", "one")


def test_a_queue_is_a_stream_of_a_stable_name():
    assert stream("shop.prices") == "longhaul:results:shop.prices"


def test_a_group_begins_with_the_oldest_entry_even_one_from_before_it(redis):
    put(redis, "a", "b")
    assert ids(Reader(redis, "q", "group", "one").read()) == ["a", "b"]


def test_reading_goes_on_where_it_stopped_and_keeps_to_its_count(redis, reader):
    put(redis, "a", "b", "c")
    assert [ids(reader.read(2)), ids(reader.read(2)), ids(reader.read(2))] == [["a", "b"], ["c"], []]


def test_two_consumers_of_a_group_share_the_entries(redis, reader):
    put(redis, "a", "b")
    assert ids(reader.read(1)) + ids(Reader(redis, "q", "group", "two").read(1)) == ["a", "b"]


def test_an_empty_queue_gives_nothing_with_and_without_waiting(reader):
    assert reader.read() == []
    assert reader.read(block=0) == []
    assert reader.read(block=0.01) == []


def test_acknowledging_deletes(redis, reader):
    put(redis, "a", "b")
    first, second = reader.read()
    reader.acknowledge([first])
    assert redis.xlen(stream("q")) == 1
    assert redis.xpending(stream("q"), "group")["pending"] == 1
    reader.acknowledge([second])
    assert redis.xlen(stream("q")) == redis.xpending(stream("q"), "group")["pending"] == 0


def test_acknowledging_nothing_and_twice_is_fine(redis, reader):
    put(redis, "a")
    entries = reader.read()
    for _ in range(2):
        reader.acknowledge(entries)
    reader.acknowledge([])
    assert redis.xlen(stream("q")) == 0


def test_what_was_read_and_not_acknowledged_is_taken_over_by_another(redis, reader):
    put(redis, "a", "b")
    (first, _) = reader.read()
    reader.acknowledge([first])
    other = Reader(redis, "q", "group", "two")
    taken = other.take_over(idle=0)
    assert ids(taken) == ["b"]
    other.acknowledge(taken)
    assert other.take_over(idle=0) == []


def test_what_was_read_a_moment_ago_is_left_to_its_consumer(redis, reader):
    put(redis, "a")
    reader.read()
    assert Reader(redis, "q", "group", "two").take_over(idle=60) == []


def test_what_a_dead_consumer_left_is_found_behind_any_number_that_a_live_one_holds(redis, reader):
    put(redis, *(f"live {n}" for n in range(50)), "left")
    entries = reader.read()
    redis.xclaim(stream("q"), "group", "one", 0, [entries[-1].id], idle=60_000)
    assert ids(Reader(redis, "q", "group", "two").take_over(idle=30, count=1)) == ["left"]


def test_a_consumer_that_was_started_again_takes_over_from_itself(redis, reader):
    put(redis, "a")
    reader.read()
    again = Reader(redis, "q", "group", "one")
    assert again.read() == []
    assert ids(again.take_over(idle=0)) == ["a"]


def test_an_entry_that_somebody_deleted_is_passed_over(redis, reader):
    put(redis, "a", "b")
    entries = reader.read()
    redis.xdel(stream("q"), entries[0].id)
    assert ids(Reader(redis, "q", "group", "two").take_over(idle=0)) == ["b"]


@pytest.mark.parametrize("queue", ["", "a:b", "-a", "a b", "x" * 65, "a\n"])
def test_a_name_that_no_queue_can_have_is_refused_and_makes_nothing(redis, queue):
    with pytest.raises(
        ValueError, match=r"queue: .*: must be 1 to 64 letters, digits, '_', '-' or '\.', beginning with"
    ):
        Reader(redis, queue, "group", "one")
    assert redis.keys() == []


def test_a_key_that_is_no_stream_is_said(redis):
    redis.set(stream("q"), "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        Reader(redis, "q", "group", "one")
