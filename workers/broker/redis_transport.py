"""Celery's way to the Redis broker. No message is lost with its worker, and each costs less than with kombu's own
channel. Celery 5.7.

- kombu takes a message out of its queue (`BRPOP`) and records in a second step that it has it. A worker that is killed between the two takes
  the message with it, and a `jobs.submit` message is the only copy of its job. Here one script does both, and leaves just what kombu's
  script-less way leaves: stock workers beside ours, kombu's sweep and its acknowledgements find what they know.
- kombu makes a redis-py client for each acknowledgement and each event, 0.1 ms; here a channel keeps one, for they share one pool anyway.
- Celery buffers task events, but sends the buffer at the next turn of its loop, one publication for nearly every event; here it waits for
  a tenth of a second, which Flower does not notice.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from importlib.resources import files
from queue import Empty
from time import monotonic, time
from typing import Any

import structlog
from celery.worker import consumer
from kombu.transport import redis, virtual
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid
from redis.exceptions import NoScriptError, ResponseError

from longhaul.ledger.script import load_script
from workers.broker.dead_lettering import KeepingConsumer

log = structlog.get_logger()

EVENTS_EVERY = 0.1
SHORTEST_REST = 0.01
LONGEST_REST = 0.05
"""Seconds between two questions to empty queues: a script can't wait for a message as BRPOP does. The pause doubles
from one to the other.
"""
REFUSED_REST = 1.0
"""Seconds until a server that refuses (it is a replica, or can't write its file) is asked again."""
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What kombu raises on its way from the bytes to a message."""

TAKE_MESSAGE = load_script("take_message", files("workers.broker") / "scripts")


class QoS(redis.QoS):
    """Knows that a message which the script took is recorded already."""

    channel: Any
    _delivered: Any
    _remove_from_indices: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Keep in mind what this channel has to acknowledge."""
        if delivery_tag == self.channel.handing_on:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def holds(self, tag: str) -> bool:
        """Whether this channel was handed the message, acknowledged or not."""
        return tag in self._delivered

    def forget(self, tag: str) -> None:
        """Take a message off the record."""
        self._remove_from_indices(tag).execute()

    def adopt(self, tag: str) -> None:
        """Let a message that was handed to nobody go back with the others when the channel closes."""
        self._delivered[tag] = None


class Channel(redis.Channel):
    """Takes and records messages in one step, where an event loop waits for them, and keeps the client that it uses
    beside that.

    Without a loop (remote control's replies, a consumer in a script) it takes messages as kombu does.
    """

    QoS = QoS
    pool: Any
    connection: Any
    client: Any
    qos: Any
    active_queues: Any
    _queue_cycle: Any
    _q_for_pri: Any
    _flush_brpop_reauth: Any
    connection_errors: tuple[type[Exception], ...]
    handing_on: str | None = None
    """The tag of the message that Celery is being given."""
    _kept: Any = None
    _asked: str | None = None
    """The tag of the question that is under way."""
    _server_knows = False
    _rest = SHORTEST_REST
    _rests_until = 0.0
    _places: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unanswered: list[str] = []
        super().__init__(*args, **kwargs)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # not in kombu's stubs
        # After a lost connection the pool is another one.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[misc]  # likewise
        return self._kept

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Called at each turn of the loop while nothing is asked and there is room for a message."""
        if self.connection.hub is None or self.connection.cycle._in_protected_read:  # noqa: SLF001  (read without the loop)
            super()._brpop_start(timeout)  # type: ignore[misc]  # not in kombu's stubs
        elif monotonic() >= self._rests_until:
            self._ask()

    def _ask(self) -> None:
        if self._asked:
            # The connection broke before the answer came.
            self._unanswered.append(self._asked)
        self._asked = uuid()
        queues = self._queue_cycle.consume(len(self.active_queues))
        keys = [(self._q_for_pri(queue, step), queue) for step in self.priority_steps for queue in queues]
        self._places = tuple(queue for _, queue in keys)
        prefixed = [
            self.global_keyprefix + key for key in (self.unacked_key, self.unacked_index_key, *(key for key, _ in keys))
        ]
        script = ("EVALSHA", TAKE_MESSAGE.digest) if self._server_knows else ("EVAL", TAKE_MESSAGE.text)
        names = [dumps(queue) for queue in self._places]
        arguments = TAKE_MESSAGE.arguments.of({"tag": self._asked, "taken_at": time(), "names": names})
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._in_poll.send_command(*script, len(prefixed), *prefixed, *arguments)

    def _brpop_read(self, **options: Any) -> bool:
        """Hand on what the answer brings; raises `Empty` where there is no message."""
        tag = self._asked
        if tag is None and self._in_poll:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]  # not in kombu's stubs
        if tag is None:
            # Nothing is expected: the server has closed the connection. The loop's next turn makes another.
            self.client.connection.disconnect()
            raise Empty
        try:
            answer = self._answer()
        except NoScriptError:
            self._server_knows = False
            raise Empty from None
        except ResponseError as error:
            log.warning("the broker hands out no messages; asking again", error=str(error))
            # Behind the same address there may be another server by then.
            self.client.connection.disconnect()
            self._rest_for(REFUSED_REST)
            raise Empty from None
        self._server_knows = True
        if answer is None:
            self._rest_for(self._rest)
            self._rest = min(2 * self._rest, LONGEST_REST)
        else:
            self._rest = SHORTEST_REST
            place, message = answer
            queue = self._places[place - 1]
            self._queue_cycle.rotate(queue)
            self._hand_on(queue, tag, message)
        self._put_back()
        if answer is None:
            raise Empty
        return True

    def _answer(self) -> Any:
        """Read the answer. After a connection error the question stays open."""
        try:
            answer = self.client.parse_response(self.client.connection, "EVALSHA")
        except ResponseError:
            self._asked = None
            raise
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._asked = None
        return answer

    def _rest_for(self, seconds: float) -> None:
        self._rests_until = monotonic() + seconds
        # Nothing to do then but to turn the loop: its turn asks.
        self.connection.hub.call_later(seconds, int)

    def _hand_on(self, queue: str, tag: str, message: bytes) -> None:
        deliver = self.connection._deliver  # noqa: SLF001  (as kombu's own channel does)
        self.handing_on = tag
        try:
            try:
                payload = loads(message.decode())
                payload["properties"]["delivery_tag"] = tag
                deliver(payload, queue)
            except UNREADABLE:
                if self.qos.holds(tag):
                    raise
                # It is no message: whoever were handed it next would fail as well, for ever. As one without a task it
                # becomes a dead letter.
                deliver(_envelope(message, tag, queue), queue)
            if not self.qos.holds(tag):
                # Its consumer acknowledges nothing.
                self.qos.forget(tag)
        finally:
            self.handing_on = None

    def _put_back(self) -> None:
        while self._unanswered:
            # Does nothing where the question took nothing.
            self.qos.restore_by_tag(self._unanswered[-1])
            self._unanswered.pop()

    def _settle(self) -> None:
        """Ask no more: wait for an answer that is under way, and count what it brings, or may have brought, among what
        goes back.
        """
        tag = self._asked
        if tag is None:
            return
        brought = True
        if self._in_poll:
            with suppress(ResponseError, *self.connection_errors):
                brought = self._answer() is not None
        self._asked = None
        if brought:
            self._unanswered.append(tag)

    def _basic_cancel(self, consumer_tag: str) -> None:
        super()._basic_cancel(consumer_tag)  # type: ignore[misc]  # not in kombu's stubs
        if not self.active_queues:
            # The worker is to stop: what was taken last goes back now, and not when its last task has ended.
            self._settle()
            self._put_back()

    def close(self) -> None:
        """Put back whatever is not acknowledged."""
        if not self.closed:
            self._settle()
            for tag in self._unanswered:
                self.qos.adopt(tag)
            self._unanswered.clear()
        super().close()


def _envelope(content: bytes, tag: str, queue: str) -> dict[str, Any]:
    """A message that holds `content` and asks for nothing."""
    properties = {
        "delivery_tag": tag,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "body_encoding": "base64",
    }
    body = b64encode(content).decode()
    return {
        "body": body,
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "headers": {},
        "properties": properties,
    }


class Transport(redis.Transport):
    """kombu's `redis://`, with our channels."""

    Channel = Channel
    hub: Any = None
    """The event loop that asks for messages, where there is one."""

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Called before the loop's first turn."""
        self.hub = loop
        super().register_with_event_loop(connection, loop)


class Consumer(KeepingConsumer):
    """Celery's consumer, which sends events in groups."""

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc, valid-type]  # a variable in the stubs
        """Without the step that makes 28 queues on RabbitMQ for messages with an ETA: there are none."""

        default_steps = [step for step in consumer.Consumer.Blueprint.default_steps if "delayed_delivery" not in step]  # noqa: RUF012

    hub: Any
    _flush_events: Any
    _flush_is_due = False

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """The connection of the events. All threads send them, and two that wait for RabbitMQ's confirmation of theirs
        on one connection read each other's: the worker hangs until the server ends it. So nobody waits: an event is no
        loss.
        """
        connection = self.app.connection_for_write(url=url, heartbeat=heartbeat)
        connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": False}
        return self.ensure_connected(connection)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # its stub says that it returns something
        """Called after each event, from any thread."""
        if self.hub and not self._flush_is_due:
            self._flush_is_due = True
            # Into the loop's own thread: its timers are not for others.
            self.hub.call_soon(self._wait)

    def _wait(self) -> None:
        self.hub.call_later(EVENTS_EVERY, self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        self._flush_events()
