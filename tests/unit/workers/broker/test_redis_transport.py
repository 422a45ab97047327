import threading
import time
from contextlib import contextmanager

import pytest
from celery import Celery
from celery.events.dispatcher import EventDispatcher
from kombu import Connection, Queue
from kombu import Consumer as Listener
from kombu.asynchronous import Hub
from kombu.transport.redis import Mutex
from redis import Redis

from config.celery_settings import celery_settings
from config.settings import Settings
from longhaul.ledger.connection import connect
from tests.conftest import free_port
from workers.broker.consumer import Consumer
from workers.broker.redis_transport import TAKE_MESSAGE, Channel, Transport
from workers.local.embedded_server import serving

OPTIONS = {"priority_steps": [0], "socket_timeout": 5, "unacked_restore_throttle": 1}


class Worker:
    """What Celery does with a transport: an event loop and a consumer. `got` is what was handed to it."""

    def __init__(self, connection: Connection, queues: tuple[str, ...], prefetch: int, *, no_ack: bool) -> None:
        self.hub = Hub()
        connection.transport.register_with_event_loop(connection.connection, self.hub)
        self.channel = connection.default_channel
        self.channel.basic_qos(0, prefetch)
        self.got = []
        self.listener = Listener(
            self.channel, [Queue(name, routing_key=name) for name in queues], on_message=self.got.append, no_ack=no_ack
        )
        self.listener.consume()

    def turn_until(self, seen, seconds=10.0):
        end = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < end, f"not within {seconds:g} s"
            self.hub.run_once()

    def take(self, count=1):
        self.turn_until(lambda: len(self.got) >= count)
        return [message.payload for message in self.got]

    def request(self):
        """The first half of a turn of the loop."""
        self.channel.connection.cycle.on_poll_start()
        assert self.channel._requested

    def turn_for(self, seconds):
        end = time.monotonic() + seconds
        self.turn_until(lambda: time.monotonic() >= end)


@contextmanager
def working(redis_url, *queues, prefetch=0, no_ack=False, transport=Transport, **options):
    with Connection(redis_url, transport=transport, transport_options=OPTIONS | options) as connection:
        worker = Worker(connection, queues or ("q",), prefetch, no_ack=no_ack)
        try:
            yield worker
            connection.default_channel.close()
        finally:
            worker.hub.close()


def send(redis_url, *bodies, queue="q", **options):
    """As any caller does: with kombu's own transport."""
    with Connection(redis_url, transport_options=options) as connection, connection.Producer() as producer:
        for body in bodies:
            producer.publish(body, routing_key=queue, serializer="json")


def waiting(redis, queue="q"):
    return redis.llen(queue)


def recorded(redis):
    return redis.hlen("unacked"), redis.zcard("unacked_index")


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


def test_what_a_dead_worker_held_goes_back_to_its_queue_through_kombus_own_sweep(redis_url, redis):
    send(redis_url, {"as": "sent"}, queue="r")
    (before,) = redis.lrange("r", 0, -1)
    with working(redis_url, "q", "r") as worker:
        worker.take()
        with working(redis_url, "none", transport="redis", visibility_timeout=0) as stock:
            stock.channel.qos.restore_visible(interval=1)
        assert recorded(redis) == (0, 0)
        (after,) = redis.lrange("r", 0, -1)
        assert after.replace(', "redelivered": true', "").replace('"redelivered": true', "") == before
        worker.got.clear()
        assert worker.take() == [{"as": "sent"}]


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


def test_a_server_that_has_forgotten_the_script_is_told_again(redis_url, redis):
    with working(redis_url) as worker:
        send(redis_url, "a")
        worker.take()
        redis.script_flush()
        send(redis_url, "b")
        assert worker.take(2) == ["a", "b"]


@pytest.mark.process
def test_a_server_that_refuses_is_asked_again_and_nothing_is_taken_meanwhile():
    with serving(free_port()) as redis_url, connect(redis_url) as redis, working(redis_url) as worker:
        send(redis_url, "a")
        redis.replicaof("127.0.0.1", 1)
        worker.turn_for(0.5)
        assert (worker.got, waiting(redis)) == ([], 1)
        redis.replicaof("NO", "ONE")
        assert worker.take() == ["a"]


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


def test_a_worker_that_is_told_to_stop_gives_back_at_once_what_it_has_just_taken(redis_url, redis):
    send(redis_url, "a", "b")
    with working(redis_url, prefetch=2) as worker:
        worker.take()
        worker.request()
        worker.listener.cancel()
        # The first is at work still; the second never got that far.
        assert (waiting(redis), recorded(redis)) == (1, (1, 1))
        worker.turn_for(0.1)
        assert [message.payload for message in worker.got] == ["a"]


def test_a_channel_that_closes_puts_back_what_it_took_and_what_it_was_just_taking(redis_url, redis):
    send(redis_url, "a", "b", "c")
    with working(redis_url) as worker:
        worker.take()
        worker.request()
    assert (waiting(redis), recorded(redis)) == (3, (0, 0))
    # What nobody will work on is handed to nobody.
    assert [message.payload for message in worker.got] == ["a"]


def test_a_connection_that_breaks_before_the_answer_costs_a_message_nothing_but_a_moment(redis_url, redis):
    send(redis_url, "a")
    with working(redis_url) as worker:
        worker.request()
        end = time.monotonic() + 5
        while waiting(redis):
            assert time.monotonic() < end
        worker.channel.client.connection.disconnect()
        assert worker.take() == ["a"]
        assert recorded(redis) == (1, 1)


def test_a_connection_that_the_server_closes_while_no_request_is_open_is_made_anew(redis_url, redis):
    with working(redis_url) as worker:
        worker.turn_until(lambda: worker.channel._paused_until and not worker.channel._in_poll)
        worker.channel._paused_until = time.monotonic() + 60
        before = worker.channel.client.connection._sock
        redis.client_kill_filter(_type="normal", skipme=True)
        send(redis_url, "a")
        worker.turn_until(lambda: worker.channel.client.connection._sock not in {before, None})
        worker.channel._paused_until = 0.0
        assert worker.take() == ["a"]


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


@pytest.fixture
def channel(redis_url):
    with Connection(redis_url, transport=Transport) as connection:
        yield connection.channel()


def test_a_channel_keeps_its_client(channel):
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
        assert first is second
        assert first.ping()


def test_a_lost_connection_makes_a_new_client(channel):
    with channel.conn_or_acquire() as before:
        before.ping()
    channel._disconnect_pools()
    with channel.conn_or_acquire() as after:
        assert after is not before
        assert after.ping()


def test_the_event_loop_has_a_client_of_its_own(channel):
    with channel.conn_or_acquire() as kept:
        assert channel.client is not kept


def test_an_app_that_names_the_transport_has_its_channels(redis_url):
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.broker_transport = "workers.broker.redis_transport:Transport"
    with app.connection_for_write() as connection:
        assert isinstance(connection.transport, Transport)
        assert isinstance(connection.default_channel, Channel)
        assert connection.default_channel.client.ping()


def test_a_worker_that_dies_while_it_sweeps_keeps_the_others_from_it_for_half_a_minute(redis_url, redis):
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.update(celery_settings(Settings(redis_url=redis_url)))
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        with Mutex(channel.client, channel.unacked_mutex_key, channel.unacked_mutex_expire):
            # A dead one does not come to the end of this.
            assert 0 < redis.ttl("unacked_mutex") <= 30


def test_events_go_out_in_groups():
    sent = []
    consumer = Consumer.__new__(Consumer)
    consumer.hub = Hub()
    consumer.event_dispatcher = EventDispatcher.__new__(EventDispatcher)
    consumer.event_dispatcher.flush = lambda: sent.append(time.monotonic())
    began = time.monotonic()
    for _ in range(50):
        consumer.on_send_event_buffered()
    while not sent and time.monotonic() < began + 10:
        consumer.hub.run_once()
    assert len(sent) == 1
    assert sent[0] - began >= 0.1
    consumer.on_send_event_buffered()
    while len(sent) < 2 and time.monotonic() < began + 10:
        consumer.hub.run_once()
    assert len(sent) == 2
    consumer.hub.close()
