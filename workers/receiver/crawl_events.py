"""What the receiver does with events of crawls: `POST /crawls/<id>/<token>` takes one page or one summary.

It has to keep up with a remote that sends thousands a second, so it reads a crawl's record once and writes events in
groups.
"""

from __future__ import annotations

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from longhaul.crawls.crawl import Crawl
from longhaul.crawls.pushes import CrawlPushes, EventReceipt
from longhaul.crawls.recorder import IncomingEvent, Recorder
from longhaul.crawls.store import EventOutcome
from longhaul.errors import WriteRefused
from longhaul.scraperapi.crawl_models import NoEvent, PageEvent, SummaryEvent
from longhaul.scraperapi.crawl_protocol import read_event
from longhaul.work.corrupt_records import CorruptRecord
from workers.receiver.webhook_request import OK, document_of, refuse
from workers.receiver.write_coalescer import WriteCoalescer

MAX_KNOWN_CRAWLS = 1000
"""Crawls whose records are kept in memory: what events need of them never changes."""
_TAKEN = JSONResponse(OK)
"""One response object for all events."""

log = structlog.get_logger()


class CrawlEvents:
    """Takes events for `pushes` and writes them through `redis`; one instance for each event loop."""

    def __init__(self, pushes: CrawlPushes, redis: Redis) -> None:
        self._pushes = pushes
        self._writes: WriteCoalescer[IncomingEvent, EventOutcome] = WriteCoalescer(Recorder(pushes.store, redis).record)
        self._known: dict[str, Crawl] = {}
        self._being_stopped: set[str] = set()

    async def receive(self, crawl_id: str, body: bytes) -> Response:
        """Take one event; 2xx only once it is in the ledger."""
        document = await document_of(body, carrying=True)
        event = document if isinstance(document, NoEvent) else read_event(document)
        if isinstance(event, NoEvent):
            return refuse(400, event.words)
        try:
            received = await self._take(crawl_id, event, len(body))
        except (RedisError, WriteRefused) as error:
            log.warning("an event could not be stored; the remote will try again", crawl=crawl_id, error=str(error))
            return refuse(503, "the ledger does not answer")
        except CorruptRecord as error:
            log.warning(
                "an event of a crawl whose record cannot be read; the remote will try again",
                crawl=crawl_id,
                error=str(error),
            )
            return refuse(503, "the crawl's record cannot be read")
        match received:
            case EventReceipt.UNKNOWN:
                return refuse(410, "no such crawl, or it has ended long ago")
            case EventReceipt.FOREIGN:
                log.warning(
                    "events of a crawl that is not on record: stopping it at the remote",
                    crawl=crawl_id,
                    remote=event.remote_id,
                )
                return JSONResponse(OK, background=BackgroundTask(self._stop, event.remote_id))
            case EventReceipt.TAKEN | EventReceipt.DROPPED:
                return _TAKEN

    async def _take(self, crawl_id: str, event: PageEvent | SummaryEvent, size: int) -> EventReceipt:
        crawl = self._known.get(crawl_id) or await run_in_threadpool(self._pushes.store.get, crawl_id)
        if crawl is None:
            return EventReceipt.UNKNOWN
        if len(self._known) >= MAX_KNOWN_CRAWLS:
            self._known.clear()
        self._known[crawl_id] = crawl
        became = await self._writes.add((crawl, event), size)
        if became in {"ahead", "run over"}:
            # The run in our memory is over, or nearly so.
            self._known.pop(crawl_id, None)
            return await run_in_threadpool(self._pushes.take, crawl, event)
        if became == "missing":
            self._known.pop(crawl_id, None)
        if became == "complete":
            return await run_in_threadpool(self._pushes.settle, crawl_id, became)
        return self._pushes.settle(crawl_id, became)

    def _stop(self, remote_id: str) -> None:
        """Stop a crawl that was created but never recorded, because its creator died: it costs credits. If that fails,
        its next event tries again.
        """
        if remote_id in self._being_stopped:
            return
        self._being_stopped.add(remote_id)
        try:
            seen = self._pushes.stop(remote_id)
            log.info("stopped at the remote", remote=remote_id, seen=type(seen).__name__)
        finally:
            self._being_stopped.discard(remote_id)
