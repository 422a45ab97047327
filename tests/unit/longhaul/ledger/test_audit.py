"""Each thing that can be wrong with a record is named by its id, and nothing else is, whatever goes on beside the walk."""

import threading

import pytest
from redis import Redis

from longhaul.jobs.job import JobStep
from longhaul.ledger.quarantine import Crash
from longhaul.work.balance import balance
from longhaul.work.decisions import Cancel, Fail, Sent
from tests.builders import Clock, a_store, a_submission, submit

SPACE = "longhaul:{jobs}"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(redis, clock):
    store = a_store(redis, clock)
    submit(store, "a", "b", "c", "d")
    for job in store.claim(JobStep.SEND, "default").items[:2]:
        store.apply(
            JobStep.SEND, [(job, Sent(f"r-{job.id}", store.now()) if job.id == "a" else Fail("x"))], store.now()
        )
    return store


def named(store):
    found = store.audit()
    return found.faults, found.counters


def test_sound_books_have_nothing_to_name(store):
    found = store.audit()
    assert (found.walked, found.faults, found.counters, found.quiet) == (4, {}, [], True)


def test_an_empty_ledger_too(redis, clock):
    assert a_store(redis, clock).audit().walked == 0


def test_an_open_record_that_is_in_no_lane(store, redis):
    redis.zrem(f"{SPACE}:due:poll:default", "a")
    assert named(store) == ({"a": "open, and in no lane"}, ["1 running, but 0 such records in the due index"])


def test_a_record_in_two_lanes(store, redis):
    redis.zadd(f"{SPACE}:due:send:default", {"a": 1})
    assert named(store) == (
        {"a": "in several lanes: poll:default, send:default"},
        ["1 running, but 2 such records in the due index"],
    )


def test_a_record_in_another_lane_than_it_says(store, redis):
    redis.hset(f"{SPACE}:record:a", "lane", "poll:other")
    assert named(store)[0] == {"a": "in poll:default, but its record names poll:other"}
    redis.hdel(f"{SPACE}:record:a", "lane")
    assert named(store)[0] == {"a": "in poll:default, but its record names none"}


def test_an_index_entry_without_a_record(store, redis):
    redis.zadd(f"{SPACE}:due:poll:default", {"ghost": 1})
    assert named(store) == ({"ghost": "in poll:default, without a record"}, [])


def test_an_ended_record_that_is_still_in_a_lane(store, redis):
    redis.zadd(f"{SPACE}:due:send:default", {"b": 1})
    assert named(store)[0] == {"b": "ended, and still in send:default"}


def test_a_state_that_is_none(store, redis):
    redis.hset(f"{SPACE}:record:a", "state", "perhaps")
    assert named(store) == ({"a": "its state is none"}, ["1 running, but 0 such records in the due index"])


def test_a_record_of_another_type(store, redis):
    redis.delete(f"{SPACE}:record:a")
    redis.set(f"{SPACE}:record:a", "x")
    assert named(store)[0] == {"a": "its record is of another type"}


@pytest.mark.parametrize(("id_", "state"), [("a", "running"), ("c", "queued")])
def test_a_record_of_another_type_can_be_ended_as_the_manual_says(store, redis, id_, state):
    key = f"{SPACE}:record:{id_}"
    redis.delete(key)
    redis.set(key, "x")
    redis.delete(key)
    lane = named(store)[0][id_].removeprefix("in ").removesuffix(", without a record")
    redis.hset(key, mapping={"state": state, "lane": lane})
    assert named(store) == ({}, [])
    assert store.cancel(id_)[0] == "marked"
    (job,) = store.claim(JobStep.CANCEL, "default").items
    assert store.apply(JobStep.CANCEL, [(job, Cancel())], store.now())[0].written == "finished"
    assert named(store) == ({}, [])
    assert balance(store.books()).faults == []


def test_an_id_that_is_no_utf_8(store, redis):
    redis.zadd(f"{SPACE}:due:poll:default", {b"\xff": 1})
    ((id_, words),) = named(store)[0].items()
    assert (id_.encode(errors="surrogateescape"), words) == (b"\xff", "in poll:default, without a record")


def test_counters_that_do_not_fit_the_records(store, redis):
    redis.hincrby(f"{SPACE}:books", "queued", 1)
    redis.hincrby(f"{SPACE}:books", "running", -1)
    assert named(store) == (
        {},
        ["3 queued, but 2 such records in the due index", "0 running, but 1 such records in the due index"],
    )


def test_what_is_set_aside_is_open_and_in_its_lane(store, clock):
    for _ in range(3):
        clock.now += 130
        store.count_crashes(
            JobStep.POLL,
            "default",
            [Crash(job.id, job.fence, "x") for job in store.claim(JobStep.POLL, "default").items],
        )
    assert store.quarantine.ids() == ["a"]
    assert named(store) == ({}, [])


@pytest.mark.usefixtures("store")
def test_what_was_wrong_for_a_moment_only_is_not_named(redis, redis_url, clock):
    redis.zrem(f"{SPACE}:due:poll:default", "a")

    redis.zrem(f"{SPACE}:due:send:default", "c")

    class MovesOn(Redis):
        def smembers(self, name):
            # Asked between the two looks.
            redis.zadd(f"{SPACE}:due:poll:default", {"a": 1})
            # Wrong both times, but not in the same way: it moves.
            redis.zadd(f"{SPACE}:due:poll:default", {"c": 1})
            return super().smembers(name)

    with MovesOn.from_url(redis_url, decode_responses=True) as other:
        assert a_store(other, clock).audit().faults == {}


def test_beside_a_system_at_work_nothing_is_named_that_is_right(redis, clock):
    store = a_store(redis, clock, batch_size=20)
    over = threading.Event()

    def work(n):
        own = a_store(redis, clock, batch_size=20)
        for at in range(1000):
            if over.is_set():
                return
            own.submit([(f"{n}-{at}-{one}", a_submission()) for one in range(5)], tracked=False)
            for job in own.claim(JobStep.SEND, "default").items:
                own.apply(JobStep.SEND, [(job, Sent(f"r-{job.id}", clock.now))], clock.now)
            for job in own.claim(JobStep.POLL, "default").items:
                own.apply(JobStep.POLL, [(job, Fail("x"))], clock.now)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        found = [store.audit() for _ in range(15)]
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert [one.faults for one in found] == [{}] * 15
    assert [one.counters for one in found] == [[]] * 15
    assert named(store) == ({}, [])


def test_many_records_are_walked_through_in_steps(redis, clock):
    store = a_store(redis, clock)
    submit(store, *(f"{n:05d}" for n in range(2500)))
    redis.zrem(f"{SPACE}:due:send:default", *(f"{n:05d}" for n in range(0, 2500, 2)))
    found = store.audit()
    assert found.walked >= 2500
    assert len(found.faults) == 1250


def test_entries_without_a_record_are_found_wherever_they_stand_in_their_lane(redis, clock):
    store = a_store(redis, clock)
    submit(store, "a")
    redis.zadd(f"{SPACE}:due:send:default", {f"ghost-{n}": n for n in range(1200)})
    assert len(store.audit().faults) == 1200
