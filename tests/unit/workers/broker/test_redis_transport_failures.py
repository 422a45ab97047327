"""Servers that forget or refuse, connections that break, and workers that stop: no message is lost."""

import time

import pytest

from longhaul.ledger.connection import connect
from tests.conftest import free_port
from tests.unit.workers.broker.transport_worker import recorded, send, waiting, working
from workers.local.embedded_server import serving


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


def test_a_server_that_has_forgotten_the_script_gets_it_again(redis_url, redis):
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


def test_a_stopping_worker_gives_back_at_once_what_it_has_just_taken(redis_url, redis):
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


def test_a_connection_that_breaks_before_the_answer_only_delays_a_message(redis_url, redis):
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
