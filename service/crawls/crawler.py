"""Rounds that fetch pages of crawls. Several rounds, in any processes, work on one crawl at once; the frontier keeps
them apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

import structlog
import uvloop

from service.batch_runner import BatchRunner
from service.crawls.crawl_run import CrawlRun
from service.crawls.frontier import ClaimedPages, Frontier, FrontierPage
from service.crawls.host_slots import HostSlotTable
from service.crawls.page_settlement import PageSettlement, SettledPage
from service.crawls.store import ServiceCrawlStore
from service.faults import crawl_faults
from service.fetching.egress import connector
from service.fetching.fetch import Fetcher, FetchLimits
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import Attempt, FetchOutcome, Hopeless, Trouble

PAGES_AT_ONCE = 120
"""Pages that one round holds at once: most of them wait for a slot of their host."""
SLOTS_PER_ROUND = 4
"""Pages of one host that one round fetches at once, so that several rounds, on several cores, get some."""
MAX_LOST_LEASES = 3
"""Leases of a page that may end without an outcome: a page that kills its worker each time must not do so for ever."""
BACKOFF_TOO_LONG = "its host asked for a longer pause than a page is retried for"
WAKE_PAUSE_SECONDS = 0.1
"""Least pause between two calls for further rounds."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Crawler:
    """Works off the pages that are due. `retry_for`: seconds for which a page is tried; `wake` starts further rounds
    where there is work for them; `stopping`: whether this process is to stop.
    """

    store: ServiceCrawlStore
    frontier: Frontier
    limits: FetchLimits
    retry_for: float
    wake: Callable[[], object]
    stopping: Callable[[], bool]

    def crawl(self, token: str) -> int:
        """The round with this token; how many pages it had."""
        claimed = self.frontier.claim(PAGES_AT_ONCE, token)
        if claimed.more:
            self.wake()
        return uvloop.run(_PageRound(self, token, claimed).run(claimed.pages)) if claimed.pages else 0


class _PageRound:
    """One round: its connections, its slots, and what it knows of the crawls."""

    def __init__(self, crawler: Crawler, token: str, claimed: ClaimedPages) -> None:
        self._crawler = crawler
        self._frontier, self._limits = crawler.frontier, crawler.limits
        self._token = token
        self._runs: dict[tuple[str, int], CrawlRun] = {}
        self._woken = 0.0
        self._ledger_ahead = claimed.now - time.monotonic()
        self._slots = HostSlotTable()
        self._slots.add(claimed.pages, claimed.grants)
        self._settlement = PageSettlement(self._frontier, self._slots, self._now)

    async def run(self, pages: Sequence[FrontierPage]) -> int:
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self._limits.private, per_host=0))
            fetcher = stack.enter_context(Fetcher(connections, limit=self._limits.body_bytes, html=True))
            await asyncio.to_thread(self._load_orders, pages)
            return await BatchRunner(
                partial(self._act, fetcher),
                self._exchange,
                weigh=lambda settled: settled.size,
                size=PAGES_AT_ONCE,
                stopping=self._crawler.stopping,
            ).run(self._known(pages))

    def _now(self) -> float:
        """The ledger's time (epoch seconds), carried on by this process's own clock."""
        return self._ledger_ahead + time.monotonic()

    def _run_of(self, page: FrontierPage) -> CrawlRun:
        return self._runs[page.crawl_id, page.run]

    def _known(self, pages: Sequence[FrontierPage]) -> list[FrontierPage]:
        return [page for page in pages if (page.crawl_id, page.run) in self._runs]

    def _exchange(self, done: Sequence[tuple[FrontierPage, SettledPage]], limit: int) -> list[FrontierPage]:
        self._slots.remove(page for page, _ in done)
        calls = [settled.call for _, settled in done]
        written, claimed = self._frontier.exchange(calls, limit, self._token, self._slots.held)
        self._slots.add(claimed.pages, claimed.grants)
        has_events = False
        for (page, settled), became in zip(done, written, strict=True):
            run = self._run_of(page)
            has_events |= run.order.callback is not None
            # The ledger refuses the write of a page that was cancelled, or claimed by another round, in the meantime.
            if settled.links and became == "settled":
                run.wrote(settled.links)
        self._load_orders(claimed.pages)
        if (claimed.more or has_events) and self._now() - self._woken > WAKE_PAUSE_SECONDS:
            self._woken = self._now()
            self._crawler.wake()
        return self._known(claimed.pages)

    def _load_orders(self, pages: Sequence[FrontierPage]) -> None:
        for crawl_id, run in {(page.crawl_id, page.run) for page in pages}.difference(self._runs):
            order = self._crawler.store.order(crawl_id)
            if order is not None:
                self._runs[crawl_id, run] = CrawlRun.of(order)

    async def _act(self, fetcher: Fetcher, page: FrontierPage) -> SettledPage:
        slots, now = self._slots.of(page.host), self._now()
        first = page.first_attempt
        if slots.backoff_until > now and first is not None and now >= first + self._crawler.retry_for:
            return self._settlement.fail(self._run_of(page), page, page.attempts, BACKOFF_TOO_LONG)
        async with slots.free:
            now = self._now()
            lease_too_short = now + self._limits.attempt_seconds > float(page.lease_end)
            if self._crawler.stopping() or slots.backoff_until > now or lease_too_short:
                return SettledPage(self._frontier.giving_back(page, now))
            return await self._try(fetcher, page, now)

    async def _try(self, fetcher: Fetcher, page: FrontierPage, now: float) -> SettledPage:
        run = self._run_of(page)
        first = now if page.first_attempt is None else page.first_attempt
        attempt = Attempt(page.attempts + 1, first + self._crawler.retry_for, run.order.page.retry_404)
        try:
            outcome = await self._attempt(fetcher, run, page, attempt, first)
            return await self._settlement.settle(run, page, attempt, first, outcome)
        except Exception as error:
            # A bug in here must not fail the other pages of the round, which would all be claimed and fail again.
            log.exception("a page raised an unexpected error", crawl=page.crawl_id, url=page.url)
            unexpected = Trouble(f"unexpected error in the service: {type(error).__name__}")
            return await self._settlement.settle(run, page, attempt, first, unexpected)

    async def _attempt(
        self, fetcher: Fetcher, run: CrawlRun, page: FrontierPage, attempt: Attempt, first: float
    ) -> FetchOutcome:
        if page.lost_leases >= MAX_LOST_LEASES:
            return Hopeless(f"given up: its worker ended {page.lost_leases} times while it had this page")
        request: FetchRequest = replace(run.order.page, url=page.url)
        if run.order.faults:
            made_up = crawl_faults.outcome(request, run.order.faults, attempt.attempts, first, self._now())
            if made_up is not None:
                return made_up
        return await fetcher.fetch(request, self._limits.timeout_seconds(attempt.give_up_at - self._now()))
