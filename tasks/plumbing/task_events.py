"""What Flower and the log are told of writes that took effect. Hints: losing one changes nothing.

Only jobs that somebody may wait for have a row in Flower. No body and no request goes into an event.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

from longhaul.crawls.decider import Complete
from longhaul.crawls.store import AppliedCrawl
from longhaul.jobs.decider import Finish
from longhaul.jobs.store import AppliedJob
from longhaul.work.decisions import Cancel, Expire, Fail, Sent

log = structlog.get_logger(__name__)

EVENTS_A_MESSAGE = 1000


def watch(done: Sequence[AppliedJob]) -> None:
    """Log each write at DEBUG, and send the events of a whole batch as one message."""
    if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        for applied in done:
            reason = getattr(applied.decision, "reason", None)
            log.debug("job", job=applied.job.id, decision=type(applied.decision).__name__.lower(), reason=reason)
    send([event for applied in done if applied.job.tracked for event in _events(applied)])


def watch_crawls(done: Sequence[AppliedCrawl]) -> None:
    """Likewise for crawls; the looks at one are no news."""
    for applied in done:
        log.debug("crawl", crawl=applied.crawl.id, decision=type(applied.decision).__name__.lower())
    send([event for applied in done for event in _crawl_events(applied)])


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


def _events(applied: AppliedJob) -> Iterator[tuple[str, dict[str, Any]]]:
    job, document = applied.job, applied.document or {}
    match applied.decision:
        case Sent():
            # A state of our own: Flower shows POLLING until the job ends.
            yield "task-polling", {"uuid": job.id}
        case Finish():
            result = {key: document.get(key) for key in ("status", "statusCode", "polls", "submissions")}
            yield "task-succeeded", {"uuid": job.id, "result": repr(result), "runtime": _age(applied)}
        case Fail(reason, _) | Expire(reason):
            yield "task-failed", {"uuid": job.id, "exception": f"{document.get('status')}: {reason}", "traceback": ""}
        case Cancel():
            # Not `revoked`, which ranks below any state of our own and would be passed over.
            yield "task-cancelled", {"uuid": job.id}
        case _:
            return


def _crawl_events(applied: AppliedCrawl) -> Iterator[tuple[str, dict[str, Any]]]:
    crawl, document = applied.crawl, applied.document or {}
    match applied.decision:
        case Sent():
            yield "task-crawling", {"uuid": crawl.id}
        case Complete():
            result = {key: document.get(key) for key in ("status", "received", "missing", "credits")}
            yield (
                "task-succeeded",
                {"uuid": crawl.id, "result": repr(result), "runtime": round(applied.now - crawl.created, 3)},
            )
        case Fail(reason, _) | Expire(reason):
            yield "task-failed", {"uuid": crawl.id, "exception": f"{document.get('status')}: {reason}", "traceback": ""}
        case Cancel():
            yield "task-cancelled", {"uuid": crawl.id}
        case _:
            return


def _age(applied: AppliedJob) -> float:
    return round(applied.now - applied.job.created, 3)


def _node() -> str:
    request = getattr(current_app.current_worker_task, "request", None)
    return getattr(request, "hostname", None) or "longhaul@receiver"
