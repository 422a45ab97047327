"""Celery's way to the Redis broker: no message is lost with its worker, and each costs less than with kombu's own
channel. Written against kombu 5.7.

- kombu takes a message out of its queue (`BRPOP`) and records in a second step who has it. A worker that is killed
  between the two takes the message with it, and a `jobs.submit` message is the only copy of its job. Here one script
  does both, and leaves in the server exactly what kombu leaves without a script: stock workers beside ours, kombu's
  sweep and its acknowledgements find what they expect.
- kombu makes a redis-py client for each acknowledgement and each event, 0.1 ms; here a channel keeps one, since they
  share one pool anyway.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from importlib.resources import files
from queue import Empty
from time import monotonic, time
from typing import Any

import structlog
from kombu.transport import redis, virtual
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid
from redis.exceptions import NoScriptError, ResponseError

from longhaul.ledger.script import load_script

log = structlog.get_logger()

SHORTEST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.05
"""Pause between two requests to empty queues, for a script cannot wait for a message as BRPOP does. It doubles from the
shortest to the longest.
"""
REFUSED_PAUSE_SECONDS = 1.0
"""Pause after a server has refused: it is a replica, or cannot write its file."""
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What kombu raises on its way from the bytes to a message."""

TAKE_MESSAGE = load_script("take_message", files("workers.broker") / "scripts")


class QoS(redis.QoS):
    """Does not record a message again that the script has recorded."""

    channel: Any
    _delivered: Any
    _remove_from_indices: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember what this channel has to acknowledge."""
        if delivery_tag == self.channel.delivering:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def holds(self, tag: str) -> bool:
        """Whether this channel was given the message, acknowledged or not."""
        return tag in self._delivered

    def forget(self, tag: str) -> None:
        """Delete the record of a message."""
        self._remove_from_indices(tag).execute()

    def adopt(self, tag: str) -> None:
        """Have a message that was delivered to nobody go back with the others when the channel closes."""
        self._delivered[tag] = None


class Channel(redis.Channel):
    """Takes and records messages in one step where an event loop drives it, and keeps one client for everything else.

    Without a loop (replies to remote control, a consumer in a script) it takes messages as kombu does.
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
    delivering: str | None = None
    """The tag of the message that is being handed to Celery."""
    _kept_client: Any = None
    _requested: str | None = None
    """The tag of the request that waits for its answer."""
    _script_loaded = False
    _pause = SHORTEST_PAUSE_SECONDS
    _paused_until = 0.0
    _requested_queues: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unanswered: list[str] = []
        super().__init__(*args, **kwargs)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # not in kombu's stubs
        # After a lost connection there is a new pool.
        if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
            self._kept_client = super()._create_client()  # type: ignore[misc]  # likewise
        return self._kept_client

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Called at each turn of the loop while no request is open and there is room for a message."""
        if self.connection.hub is None or self.connection.cycle._in_protected_read:  # noqa: SLF001  (no loop)
            super()._brpop_start(timeout)  # type: ignore[misc]  # not in kombu's stubs
        elif monotonic() >= self._paused_until:
            self._request()

    def _request(self) -> None:
        if self._requested:
            # The connection broke before the answer came.
            self._unanswered.append(self._requested)
        self._requested = uuid()
        queues = self._queue_cycle.consume(len(self.active_queues))
        keys = [(self._q_for_pri(queue, step), queue) for step in self.priority_steps for queue in queues]
        self._requested_queues = tuple(queue for _, queue in keys)
        prefixed = [
            self.global_keyprefix + key for key in (self.unacked_key, self.unacked_index_key, *(key for key, _ in keys))
        ]
        script = ("EVALSHA", TAKE_MESSAGE.digest) if self._script_loaded else ("EVAL", TAKE_MESSAGE.text)
        names = [dumps(queue) for queue in self._requested_queues]
        arguments = TAKE_MESSAGE.arguments.of({"tag": self._requested, "taken_at": time(), "names": names})
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._in_poll.send_command(*script, len(prefixed), *prefixed, *arguments)

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver the message in the answer; raises `Empty` where there is none."""
        tag = self._requested
        if tag is None and self._in_poll:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]  # not in kombu's stubs
        if tag is None:
            # No answer is due: the server has closed the connection. The loop's next turn opens another.
            self.client.connection.disconnect()
            raise Empty
        try:
            answer = self._read_answer()
        except NoScriptError:
            self._script_loaded = False
            raise Empty from None
        except ResponseError as error:
            log.warning("the broker refuses to hand out messages; trying again", error=str(error))
            # By then another server may be behind the same address.
            self.client.connection.disconnect()
            self._pause_for(REFUSED_PAUSE_SECONDS)
            raise Empty from None
        self._script_loaded = True
        if answer is None:
            self._pause_for(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        else:
            self._pause = SHORTEST_PAUSE_SECONDS
            place, message = answer
            queue = self._requested_queues[place - 1]
            self._queue_cycle.rotate(queue)
            self._deliver(queue, tag, message)
        self._put_back()
        if answer is None:
            raise Empty
        return True

    def _read_answer(self) -> Any:
        """Read the answer. After a connection error the request stays open."""
        try:
            answer = self.client.parse_response(self.client.connection, "EVALSHA")
        except ResponseError:
            self._requested = None
            raise
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._requested = None
        return answer

    def _pause_for(self, seconds: float) -> None:
        self._paused_until = monotonic() + seconds
        # The call itself does nothing; it wakes the loop, whose turn sends the next request.
        self.connection.hub.call_later(seconds, int)

    def _deliver(self, queue: str, tag: str, message: bytes) -> None:
        deliver = self.connection._deliver  # noqa: SLF001  (as kombu's own channel does)
        self.delivering = tag
        try:
            try:
                payload = loads(message.decode())
                payload["properties"]["delivery_tag"] = tag
                deliver(payload, queue)
            except MALFORMED:
                if self.qos.holds(tag):
                    raise
                # Every worker would fail on it, for ever. Wrapped in a message that names no task it becomes a dead
                # letter.
                deliver(_envelope(message, tag, queue), queue)
            if not self.qos.holds(tag):
                # Its consumer does not acknowledge.
                self.qos.forget(tag)
        finally:
            self.delivering = None

    def _put_back(self) -> None:
        while self._unanswered:
            # Has no effect where the request took nothing.
            self.qos.restore_by_tag(self._unanswered[-1])
            self._unanswered.pop()

    def _finish_request(self) -> None:
        """Send no further request: wait for an open one, and note what it brings, or may have brought, for putting
        back.
        """
        tag = self._requested
        if tag is None:
            return
        brought = True
        if self._in_poll:
            with suppress(ResponseError, *self.connection_errors):
                brought = self._read_answer() is not None
        self._requested = None
        if brought:
            self._unanswered.append(tag)

    def _basic_cancel(self, consumer_tag: str) -> None:
        super()._basic_cancel(consumer_tag)  # type: ignore[misc]  # not in kombu's stubs
        if not self.active_queues:
            # The worker is shutting down: what was taken last goes back now, and not when its last task has ended.
            self._finish_request()
            self._put_back()

    def close(self) -> None:
        """Put back whatever is not acknowledged."""
        if not self.closed:
            self._finish_request()
            for tag in self._unanswered:
                self.qos.adopt(tag)
            self._unanswered.clear()
        super().close()


def _envelope(content: bytes, tag: str, queue: str) -> dict[str, Any]:
    """A message that holds `content` and names no task."""
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
    """The event loop that drives the channels, where there is one."""

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Called before the loop's first turn."""
        self.hub = loop
        super().register_with_event_loop(connection, loop)
