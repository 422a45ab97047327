from __future__ import annotations

from redis import Redis

from service.faults.dial import COUNTERS_EXPIRE_SECONDS, SPACE, Cut, Dial, Garble, Refuse, Rename


def test_counted_faults_of_reading_happen_so_often_then_end(redis: Redis) -> None:
    dial = Dial(redis)
    spec = "get429-1-7 get500-2 badjson-1 unknownstatus-1"
    replies = [dial.on_get("run", spec) for _ in range(6)]
    assert replies == [Refuse(429, 7), Refuse(500), Refuse(500), Garble(), Rename(), None]
    assert dial.on_get("another", spec) == Refuse(429, 7)


def test_faults_of_the_result_wait_for_it(redis: Redis) -> None:
    dial = Dial(redis)
    for word, reply in (("cut-1", Cut()), ("expire", Refuse(404)), ("gone", Refuse(410))):
        assert dial.on_get(word, word) is None
        assert dial.on_get(word, word, finished=True) == reply


def test_faults_of_submitting_count_for_the_url(redis: Redis) -> None:
    dial = Dial(redis)
    assert [dial.on_post("a", "plain post503-1 postcut-1") for _ in range(3)] == [Refuse(503, plain=True), Cut(), None]
    assert [dial.on_post("b", "post400") for _ in range(3)] == [Refuse(400)] * 3


def test_faults_of_cancelling_count_for_the_crawl(redis: Redis) -> None:
    dial = Dial(redis)
    assert [dial.on_delete("one", "get500 delete403-1") for _ in range(2)] == [Refuse(403), None]
    assert dial.on_delete("another", "delete403-1") == Refuse(403)


def test_counters_expire(redis: Redis) -> None:
    Dial(redis).on_get("run", "get500-1")
    [key] = redis.scan_iter(f"{SPACE}:*")
    assert 0 < redis.ttl(key) <= COUNTERS_EXPIRE_SECONDS
