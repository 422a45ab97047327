"""Keep messages that no worker can handle as dead letters. Celery would log and acknowledge them, which loses them.

Celery also writes their bodies into the log, which may hold secrets; and a body of the wrong shape ends the worker, or
occupies one of its places for good. Here such a message is kept before it gets that far.
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

RETRY_SECONDS = 5.0
"""Pause before a ledger that was away is tried again. Meanwhile the message is not acknowledged and occupies a place in
the worker.
"""
BODY_PARTS = 3
"""A body is [arguments, keywords, embedded options]."""
MALFORMED = (TypeError, ValueError, LookupError, AttributeError)
"""What Celery raises where a message has not the shape of a task."""


class DeadLetteringConsumer(consumer.Consumer):
    """Celery's consumer, which keeps what it cannot handle: such a message is acknowledged once the ledger has it."""

    connection_errors: Any

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """As Celery's, but messages whose body is not that of a task are kept."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            if fault := _malformed(message):
                return self._dead_letter(message, fault)
            try:
                return handle(message)
            except MALFORMED as error:
                if message.acknowledged:
                    raise
                return self._dead_letter(message, f"it cannot be handled: {type(error).__name__}")

        return on_task_received

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """The body cannot be decoded or decompressed."""
        self._dead_letter(message, f"it cannot be decoded: {type(exc).__name__}")

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002  (Celery's signature)
        """The message names no task."""
        self._dead_letter(message, "it names no task")

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002  (likewise)
        """The headers are wrong, or the content type is not accepted."""
        self._dead_letter(message, f"it is no valid task: {type(exc).__name__}")

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002  (likewise)
        """The task is unknown here; whoever waits for its result gets the error."""
        self._dead_letter(message, "its task is unknown", self._fail_result)

    def _dead_letter(self, message: Any, reason: str, then: Callable[[Any], None] | None = None) -> None:
        letter = _letter(
            message, reason, {queue.name for queue in self.app.amqp.queues.values()}, self.app.conf.task_default_queue
        )
        try:
            dropped = DeadLetters(runtime().redis).keep(letter)
        except RedisError as error:
            log.warning(
                "a dead letter cannot be kept; trying again", queue=letter.queue, reason=reason, error=str(error)
            )
            self.timer.call_after(RETRY_SECONDS, self._dead_letter, (message, reason, then))
            return
        log.error(
            "a message is kept as a dead letter; see `longhaul status`",
            queue=letter.queue,
            task=letter.task,
            reason=reason,
        )
        if dropped:
            log.error(
                "the oldest dead letters were dropped for it and are lost; "
                "empty the list with `longhaul retry --dead-letters`",
                dropped=dropped,
                most=MOST,
            )
        message.ack_log_error(get_logger(__name__), self.connection_errors)
        if then is not None:
            then(message)

    def _fail_result(self, message: Any) -> None:
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


def _malformed(message: Any) -> str:
    """Why a message of Celery's present protocol cannot be that of a task; empty where it can be, or where Celery
    notices by itself.
    """
    if not isinstance(message.headers, dict) or "task" not in message.headers:
        return ""
    try:
        payload = message.payload
    except Exception:  # noqa: BLE001  (Celery fails on it as well, and calls `on_decode_error`)
        return ""
    if isinstance(payload, list | tuple):
        fits = len(payload) == BODY_PARTS and isinstance(payload[0], list | tuple) and isinstance(payload[1], dict)
    else:
        fits = isinstance(payload, dict) and "args" in payload
    if not fits:
        return "its body is not that of a task"
    id_ = message.headers.get("id")
    # Celery would run it, and all jobs without an id would be one and the same.
    return "" if isinstance(id_, str) and id_ else "it has no id"


def _letter(message: Any, reason: str, queues: set[str], default: str) -> DeadLetter:
    headers = dict(message.headers) if isinstance(message.headers, dict) else {"headers": message.headers}
    if not message.errors:
        # It has been decompressed.
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
