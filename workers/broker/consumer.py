"""Celery's consumer as our workers use it: it keeps messages that it cannot handle, and sends events in groups.

Celery buffers task events, but sends the buffer at the next turn of its loop: one publication for nearly every event.
Here the buffer waits for a tenth of a second, which Flower does not notice.
"""

from __future__ import annotations

from typing import Any

from celery.worker import consumer

from workers.broker.dead_lettering import DeadLetteringConsumer

EVENT_SECONDS = 0.1
"""How long events are collected for one publication."""


class Consumer(DeadLetteringConsumer):
    """The consumer of `workers.app`."""

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc, valid-type]  # a variable in the stubs
        """Without the step that makes 28 queues on RabbitMQ for messages with an ETA: there are none."""

        default_steps = [  # noqa: RUF012  (as Celery has it)
            step for step in consumer.Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    hub: Any
    _flush_events: Any
    _flush_is_due = False

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """The connection of the events, which does not wait for RabbitMQ to confirm them.

        All threads send events. Two threads that wait for confirmations on one connection read each other's, and the
        worker hangs until the server closes it. A lost event is no loss.
        """
        connection = self.app.connection_for_write(url=url, heartbeat=heartbeat)
        connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": False}
        return self.ensure_connected(connection)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # its stub says that it returns something
        """Called after each event, from any thread."""
        if self.hub and not self._flush_is_due:
            self._flush_is_due = True
            # On the loop's own thread: other threads must not touch its timers.
            self.hub.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self.hub.call_later(EVENT_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        self._flush_events()
