"""Our Redis transport takes a message and records it in one step; the rest is as with kombu's own."""

import threading
import time

import pytest
from kombu import Connection, Queue
from kombu import Consumer as Listener
from redis import Redis

from tests.unit.workers.broker.transport_worker import OPTIONS, recorded, send, waiting, working
from workers.broker.redis_transport import TAKE_MESSAGE, Transport


def test_a_message_is_recorded_before_its_taker_knows_of_it(redis_url, redis):
    send(redis_url, "a")
    with working(redis_url) as worker:
        worker.request()
        end = time.monotonic() + 5
        while waiting(redis):
            assert time.monotonic() < end
        assert worker.got == []
        assert recorded(redis) == (1, 1)


def test_what_is_acknowledged_is_off_the_record(redis_url, redis):
    send(redis_url, "a", "b", "c")
    with working(redis_url) as worker:
        assert worker.take(3) == ["a", "b", "c"]
        assert recorded(redis) == (3, 3)
        for message in worker.got:
            message.ack()
        assert recorded(redis) == (0, 0)
    assert waiting(redis) == 0


def test_what_is_sent_back_is_the_next_to_be_taken(redis_url, redis):
    send(redis_url, "a", "b")
    with working(redis_url, prefetch=1) as worker:
        worker.take()
        worker.got.pop().requeue()
        assert recorded(redis) == (0, 0)
        assert worker.take() == ["b"]
        worker.got.pop().ack()
        assert worker.take() == ["a"]
        assert worker.got[0].delivery_info["redelivered"]
        worker.got.pop().ack()


def test_queues_are_asked_in_turn_so_that_a_full_one_does_not_hide_the_others(redis_url):
    send(redis_url, *["full"] * 20, queue="q")
    send(redis_url, "one", "two", queue="r")
    with working(redis_url, "q", "r") as worker:
        assert {"one", "two"} < set(worker.take(5))


def test_no_more_is_taken_than_there_is_room_for(redis_url, redis):
    send(redis_url, *"abcde")
    with working(redis_url, prefetch=2) as worker:
        worker.take(2)
        worker.turn_for(0.2)
        assert (len(worker.got), waiting(redis), recorded(redis)) == (2, 3, (2, 2))
        worker.got[0].ack()
        worker.take(3)
        worker.turn_for(0.2)
        assert (len(worker.got), waiting(redis)) == (3, 2)


def test_empty_queues_are_asked_seldom_and_a_message_is_taken_soon(redis_url, redis):
    with working(redis_url) as worker:
        worker.turn_for(0.5)
        redis.config_resetstat()
        worker.turn_for(1.0)
        asked = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert 5 <= asked <= 30
        send(redis_url, "a")
        began = time.monotonic()
        worker.take()
        assert time.monotonic() - began < 0.15


def test_stock_workers_and_ours_share_a_queue(redis_url, redis):
    send(redis_url, *range(40))
    with working(redis_url, prefetch=5) as ours, working(redis_url, prefetch=5, transport="redis") as stock:
        seen = []
        end = time.monotonic() + 10
        while len(seen) < 40:
            assert time.monotonic() < end
            for worker in (ours, stock):
                worker.turn_until(lambda w=worker: w.got or not waiting(redis), 5)
                for message in worker.got:
                    seen.append(message.payload)
                    message.ack()
                worker.got.clear()
    assert sorted(seen) == list(range(40))
    assert (waiting(redis), recorded(redis)) == (0, (0, 0))


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[]",
        "null",
        "{}",
        '{"properties": {"delivery_info": {}, "body_encoding": "base64"}, "body": "a"}',
        '{"properties": {"body_encoding": "rot13"}, "body": "x"}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_what_is_no_message_is_handed_on_as_one_that_asks_for_nothing(redis_url, redis, message):
    raw = message.encode(errors="surrogateescape")
    redis.lpush("q", raw)
    send(redis_url, "a")
    with working(redis_url) as worker:
        worker.turn_until(lambda: len(worker.got) == 2)
        unread, read = worker.got
        assert (unread.body, unread.headers, unread.delivery_info["routing_key"]) == (raw, {}, "q")
        assert read.payload == "a"
        assert recorded(redis) == (2, 2)
        unread.ack()
        assert recorded(redis) == (1, 1)


def test_a_consumer_that_acknowledges_nothing_leaves_no_record(redis_url, redis):
    send(redis_url, "a", "b")
    with working(redis_url, no_ack=True) as worker:
        assert worker.take(2) == ["a", "b"]
        assert recorded(redis) == (0, 0)


def test_without_an_event_loop_messages_are_taken_as_kombu_does(redis_url):
    send(redis_url, "a")
    with Connection(redis_url, transport=Transport, transport_options=OPTIONS) as connection:
        got = []
        with Listener(connection.default_channel, [Queue("q")], on_message=got.append):
            connection.drain_events(timeout=5)
        assert [message.payload for message in got] == ["a"]


def test_answers_are_waited_for_beside_the_loop(redis_url):
    """Celery asks its fellow workers while it starts, on the connection that its loop will use."""
    with working(redis_url, "none") as worker:
        got = []
        connection = worker.channel.connection.client
        with Listener(connection.channel(), [Queue("answers", no_ack=True)], on_message=got.append):
            later = threading.Timer(0.3, send, (redis_url, "a"), {"queue": "answers"})
            later.start()
            began = time.monotonic()
            connection.drain_events(timeout=5)
            assert time.monotonic() - began < 2
            later.join()
        assert [message.payload for message in got] == ["a"]
        send(redis_url, "b", queue="none")
        assert worker.take() == ["b"]


def test_keys_may_have_a_prefix(redis_url, redis):
    send(redis_url, "a", global_keyprefix="p.")
    with working(redis_url, global_keyprefix="p.") as worker:
        assert worker.take() == ["a"]
        assert redis.hlen("p.unacked") == redis.zcard("p.unacked_index") == 1
        worker.got[0].ack()
    assert redis.keys("*unacked*") == redis.keys("q") == []


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_script_answers_alike_in_both_protocols(redis_url, protocol):
    with Redis.from_url(redis_url, protocol=protocol) as client:
        client.lpush("r", '{"n": 1}')
        argv = TAKE_MESSAGE.arguments.of({"tag": "tag", "taken_at": 17.5, "names": ['"q"', '"r"']})
        asked = (4, "unacked", "unacked_index", "q", "r", *argv)
        assert client.eval(TAKE_MESSAGE.text, *asked) == [2, b'{"n": 1}']
        assert client.eval(TAKE_MESSAGE.text, *asked) is None
        assert client.hgetall("unacked") == {b"tag": b'[{"n": 1},"","r"]'}
        assert client.zscore("unacked_index", "tag") == 17.5
