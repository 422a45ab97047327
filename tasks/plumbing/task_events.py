"""Task events for Flower, and log lines, of writes that took effect. Hints: losing one changes nothing.

Only tracked jobs and crawls have a row in Flower: those whose task id a caller may wait for. No body and no request
goes into an event.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

from longhaul.crawls.crawl import Crawl
from longhaul.crawls.decider import Complete
from longhaul.jobs.decider import Finish
from longhaul.jobs.job import Job
from longhaul.work.batch import Applied
from longhaul.work.decisions import Cancel, Expire, Fail, Sent

log = structlog.get_logger(__name__)

EVENTS_A_MESSAGE = 1000
SENT = {"job": "task-polling", "crawl": "task-crawling"}
"""The event of a submission that the remote has taken."""
RESULT = {
    "job": ("status", "statusCode", "polls", "submissions"),
    "crawl": ("status", "received", "missing", "credits"),
}
"""What of an envelope is shown as the result."""


def report(written: Sequence[Applied[Job, Any]] | Sequence[Applied[Crawl, Any]]) -> None:
    """Log each write at DEBUG, and send the events of a whole batch as one message."""
    if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        for applied in written:
            kind, decision = _kind(applied), type(applied.decision).__name__.lower()
            reason = getattr(applied.decision, "reason", None)
            log.debug(kind, **{kind: applied.item.id}, decision=decision, reason=reason)
    send([event for applied in written if applied.item.tracked for event in _events(applied)])


def send(events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Send task events of several tasks in one message, as a worker's own event buffer does."""
    if not events:
        return
    app = current_app
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            dispatcher = app.events.Dispatcher(
                channel=producer.channel,
                hostname=_node(),
                buffer_group=frozenset({"task"}),
                buffer_limit=EVENTS_A_MESSAGE,
            )
            for kind, fields in events:
                dispatcher.send(kind, **fields)
            dispatcher.flush()
    except (OperationalError, OSError) as error:
        log.warning("events not sent", count=len(events), error=str(error))


def _events(applied: Applied[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    id_, document, kind = applied.item.id, applied.document or {}, _kind(applied)
    match applied.decision:
        case Sent():
            # A state of our own: Flower shows it until the end.
            yield SENT[kind], {"uuid": id_}
        case Finish() | Complete():
            result = {name: document.get(name) for name in RESULT[kind]}
            age = round(applied.now - applied.item.created, 3)
            yield "task-succeeded", {"uuid": id_, "result": repr(result), "runtime": age}
        case Fail(reason, _) | Expire(reason):
            yield "task-failed", {"uuid": id_, "exception": f"{document.get('status')}: {reason}", "traceback": ""}
        case Cancel():
            # Not `revoked`, which ranks below any state of our own and would be passed over.
            yield "task-cancelled", {"uuid": id_}
        case _:
            return


def _kind(applied: Applied[Any, Any]) -> str:
    return "crawl" if isinstance(applied.item, Crawl) else "job"


def _node() -> str:
    request = getattr(current_app.current_worker_task, "request", None)
    return getattr(request, "hostname", None) or "longhaul@receiver"
