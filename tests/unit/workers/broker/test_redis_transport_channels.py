"""Channels of our transport: their clients, their locks, and the events that go out through them."""

import time

import pytest
from celery import Celery
from celery.events.dispatcher import EventDispatcher
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport.redis import Mutex

from config.celery_settings import celery_settings
from config.settings import Settings
from workers.broker.consumer import Consumer
from workers.broker.redis_transport import Channel, Transport


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
