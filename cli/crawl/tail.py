"""The results of one crawl as they arrive, read beside its queue's consumers: no envelope is taken from them.

Pages come from the stream, read without a group. A consumer may have deleted some before they are read here, so the
number of pages, and how the crawl has ended, come from its record and its stored result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from celery import Celery
from redis import Redis
from redis.exceptions import ResponseError

from longhaul.crawls.crawl import Crawl
from longhaul.crawls.store import CrawlStore
from longhaul.ledger.connection import AWAY
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import Json
from longhaul.work.item import ENDS

READ_COUNT = 100
BLOCK_SECONDS = 0.2
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TailUpdate:
    """What one read has brought: page envelopes, the crawl's record where the ledger knows it, and its own envelope
    (without a body) once it has ended and all its pages have been given.
    """

    pages: list[Json]
    crawl: Crawl | None
    ended: Json | None


class CrawlTail:
    """Reads what comes into `queue` from now on: made before the crawl is submitted. `away` is called with the error
    each time that the ledger does not answer.
    """

    def __init__(self, redis: Redis, store: CrawlStore, app: Celery, queue: str, away: Callable[[str], None]) -> None:
        self._redis = redis
        self._store = store
        self._app = app
        self._stream = stream(queue)
        self._away = away
        self._last = self._newest()

    def recorded(self, crawl_id: str) -> bool:
        """Whether the ledger has the crawl; False as well where it does not answer."""
        try:
            return self._store.get(crawl_id) is not None
        except AWAY as error:
            self._away(str(error))
            time.sleep(RETRY_SECONDS)
            return False

    def refusal(self, crawl_id: str) -> str:
        """Why the crawl is not recorded, in the task's words; empty where its task has not run."""
        result = self._app.AsyncResult(crawl_id)
        return str(result.result) if result.state == "FAILURE" else ""

    def updates(self, crawl_id: str) -> Iterator[TailUpdate]:
        """An update several times a second, even where nothing is new. The last has the crawl's envelope, or no record:
        then the ledger has lost it.
        """
        while True:
            try:
                # Before the stream is read, so that every page from before the end is read after it.
                crawl = self._store.get(crawl_id)
                ended = self._envelope(crawl_id) if crawl is not None and crawl.state in ENDS else None
                envelopes = self._read(None if ended else BLOCK_SECONDS)
            except AWAY as error:
                self._away(str(error))
                time.sleep(RETRY_SECONDS)
                continue
            over = crawl is None or (ended is not None and not envelopes)
            pages = [one for one in envelopes if one["kind"] == "page" and one["crawlId"] == crawl_id]
            yield TailUpdate(pages, crawl, ended if over else None)
            if over:
                return

    def _envelope(self, crawl_id: str) -> Json:
        # From the stored result: it is there even where a consumer has deleted the envelope from the queue.
        return cast("Json", self._app.AsyncResult(crawl_id).result)

    def _read(self, block: float | None) -> list[Json]:
        wait = None if block is None else int(block * 1000)
        answer: Any = self._redis.xread({self._stream: self._last}, count=READ_COUNT, block=wait)
        if not answer:
            return []
        # RESP2 gives [[stream, entries]], RESP3 {stream: [entries]}.
        entries = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))[0]
        self._last = entries[-1][0]
        return [json.loads(fields["envelope"]) for _, fields in entries]

    def _newest(self) -> str:
        try:
            return str(self._redis.xinfo_stream(self._stream)["last-generated-id"])
        except ResponseError:
            # There is no such queue yet.
            return "0-0"
