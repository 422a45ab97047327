"""A worker's side of our transport, and what it leaves in Redis."""

import time
from contextlib import contextmanager

from kombu import Connection, Queue
from kombu import Consumer as Listener
from kombu.asynchronous import Hub

from workers.broker.redis_transport import Transport

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
