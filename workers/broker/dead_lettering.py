"""What becomes of messages that Celery can make nothing of: kept as dead letters, where it would log and acknowledge
them, which loses them.

Celery also writes their bodies into the log, which may hold secrets; and a body of the wrong shape ends the worker, or
holds a place in it for good. Here such a message is out of the way before it gets that far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from celery.exceptions import NotRegistered
from celery.utils.log import get_logger
from celery.utils.objects import Bunch
from celery.worker import consumer
from redis.exceptions import RedisError

from longhaul.ledger.dead_letters import MOST, DeadLetter, DeadLetters
from tasks.plumbing.runtime import runtime

log = structlog.get_logger()

AGAIN = 5.0
"""Seconds until a message is offered again to a ledger that was away. Meanwhile it is not acknowledged, and holds its
place in the worker.
"""
PARTS = 3
"""A body is [arguments, keywords, rest]."""
UNFIT = (TypeError, ValueError, LookupError, AttributeError)


class KeepingConsumer(consumer.Consumer):
    """Celery's consumer, which keeps what it can't handle. A message is acknowledged only when the ledger has it."""

    connection_errors: Any

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """As Celery's, but for messages whose body has not the shape of a task's."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            if fault := _misshapen(message):
                return self._keep(message, fault)
            try:
                return handle(message)
            except UNFIT as error:
                if message.acknowledged:
                    raise
                return self._keep(message, f"it cannot be taken: {type(error).__name__}")

        return on_task_received

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Its body can't be read, or not decompressed."""
        self._keep(message, f"it cannot be decoded: {type(exc).__name__}")

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002  (Celery's signature)
        """It names no task."""
        self._keep(message, "it names no task")

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002  (likewise)
        """Its headers are wrong, or its content is of a kind that is not accepted."""
        self._keep(message, f"it is no valid task: {type(exc).__name__}")

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002  (likewise)
        """Nobody here knows its task; whoever waits for its result is told."""
        self._keep(message, "its task is unknown", self._tell)

    def _keep(self, message: Any, reason: str, then: Callable[[Any], None] | None = None) -> None:
        letter = _letter(
            message, reason, {queue.name for queue in self.app.amqp.queues.values()}, self.app.conf.task_default_queue
        )
        try:
            dropped = DeadLetters(runtime().redis).keep(letter)
        except RedisError as error:
            log.warning(
                "a dead letter cannot be kept; trying again", queue=letter.queue, reason=reason, error=str(error)
            )
            self.timer.call_after(AGAIN, self._keep, (message, reason, then))
            return
        log.error(
            "a message is kept as a dead letter; see `longhaul status`",
            queue=letter.queue,
            task=letter.task,
            reason=reason,
        )
        if dropped:
            log.error(
                "the oldest dead letters were thrown away for it and are lost; empty the list with `longhaul retry --dead-letters`",
                dropped=dropped,
                most=MOST,
            )
        message.ack_log_error(get_logger(__name__), self.connection_errors)
        if then is not None:
            then(message)

    def _tell(self, message: Any) -> None:
        id_, name = message.headers.get("id"), message.headers.get("task")
        if not isinstance(id_, str) or not isinstance(name, str):
            return
        properties = message.properties
        request = Bunch(
            name=name,
            chord=None,
            root_id=message.headers.get("root_id"),
            correlation_id=properties.get("correlation_id"),
            reply_to=properties.get("reply_to"),
            errbacks=None,
        )
        self.app.backend.mark_as_failure(id_, NotRegistered(name), request=request)


def _misshapen(message: Any) -> str:
    """Why a message of Celery's present protocol can't be that of a task; empty where it can, or where Celery itself
    finds out.
    """
    if not isinstance(message.headers, dict) or "task" not in message.headers:
        return ""
    try:
        payload = message.payload
    except Exception:  # noqa: BLE001  (Celery meets it as well, and says so)
        return ""
    if isinstance(payload, list | tuple):
        fits = len(payload) == PARTS and isinstance(payload[0], list | tuple) and isinstance(payload[1], dict)
    else:
        fits = isinstance(payload, dict) and "args" in payload
    if not fits:
        return "its body is not that of a task"
    id_ = message.headers.get("id")
    # Celery runs it nevertheless, and all jobs without an id would be one.
    return "" if isinstance(id_, str) and id_ else "it has no id"


def _letter(message: Any, reason: str, queues: set[str], default: str) -> DeadLetter:
    headers = dict(message.headers) if isinstance(message.headers, dict) else {"headers": message.headers}
    if not message.errors:
        # It is decompressed.
        headers.pop("compression", None)
    came_by = message.delivery_info.get("routing_key") if isinstance(message.delivery_info, dict) else None
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode(errors="surrogateescape")
    return DeadLetter(
        came_by if came_by in queues else default,
        reason,
        body,
        str(message.content_type or ""),
        str(message.content_encoding or ""),
        headers,
        {
            name: message.properties[name]
            for name in ("correlation_id", "reply_to", "priority")
            if name in message.properties
        },
    )
