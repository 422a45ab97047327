"""Rounds that fetch pages of crawls. Several work on one crawl at once, in any processes; the frontier keeps them
apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never

import structlog
import uvloop

from longhaul.ledger.lua import ScriptCall
from longhaul.links.extract import normalised
from longhaul.links.scope import Scope
from service.batch_runner import Stream
from service.crawls import documents as crawl_documents
from service.crawls.frontier import LINKS_AT_ONCE, ClaimedPages, Ending, Frontier, FrontierPage
from service.crawls.host_slots import HostSlotTable
from service.crawls.order import CrawlOrder
from service.crawls.store import ServiceCrawls
from service.faults import crawl_faults
from service.fetching.fetch import CHUNK, Fetcher, connector
from service.fetching.retry_policy import (
    Answered,
    Attempt,
    Completed,
    FetchOutcome,
    GiveUp,
    Hopeless,
    RetryAt,
    Trouble,
    decide,
)

SIZE = 120
"""Pages that one round has at once: most of them wait for a slot of their host."""
SHARE = 4
"""Pages of one host that one round has under way at once, so that several rounds, on several cores, get some."""
MOST_LOST = 3
"""Leases of a page that may end without an outcome. A page that kills its worker each time must not do so for ever."""
SHORTEST_ATTEMPT = 1.0
LONGEST_BACKOFF = 3600.0
"""Seconds: a host that wants no requests for longer is asked after that."""
BACKOFF_WORDS = "its host wants to be left alone for longer than a page is tried"
NEVER = 9e12
WAKE_PAUSE = 0.1
"""Seconds between two calls for further rounds."""
MOST_KNOWN = 50_000
"""Links of one crawl that a round remembers to have written, so that it writes each once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Bounds of a round of pages: `attempt` and `retry_for` in seconds, `body` in bytes; `private`: private targets are
    fine; `most`: rounds at once, in all processes."""

    attempt: float
    retry_for: float
    body: int
    private: bool
    most: int


@dataclass(frozen=True, slots=True)
class SettledPage:
    """What is to be written of a page, and the links that are written with it."""

    call: ScriptCall
    links: Sequence[str] = ()
    size: int = 0


@dataclass(slots=True)
class _Crawl:
    """What a round knows of one run of a crawl."""

    order: CrawlOrder
    scope: Scope
    telling: crawl_faults.DeliveryFaults
    known: set[str] = field(default_factory=set)

    def unknown(self, links: Sequence[str]) -> list[str]:
        known = self.known
        return [link for link in links if link not in known]

    def wrote(self, links: Sequence[str]) -> None:
        if len(self.known) > MOST_KNOWN:
            self.known.clear()
        self.known.update(links)


@dataclass(frozen=True, slots=True)
class Crawler:
    """Works off the pages that wait. `wake` starts further rounds where there is work for them; `stopping`: this
    process is to stop.
    """

    register: ServiceCrawls
    frontier: Frontier
    limits: PageLimits
    wake: Callable[[], object]
    stopping: Callable[[], bool] = lambda: False

    def crawl(self, token: str) -> int:
        """One round; how many pages it was."""
        taken = self.frontier.claim(SIZE, token)
        if taken.more:
            wake_safely(self.wake)
        return uvloop.run(_Round(self, token, taken).run(taken.pages)) if taken.pages else 0


def wake_safely(wake: Callable[[], object]) -> None:
    """Wake, or say why not: a broker that is away must not end a round, for the ticker wakes as well."""
    try:
        wake()
    except Exception as error:  # noqa: BLE001  (whatever the broker's client raises)
        log.warning("could not wake the crew", error=f"{type(error).__name__}: {error}")


class _Round:
    """One round: the connections, and what is known of the crawls."""

    def __init__(self, crawler: Crawler, token: str, taken: ClaimedPages) -> None:
        self._register, self._frontier, self._limits, self._wake = (
            crawler.register,
            crawler.frontier,
            crawler.limits,
            crawler.wake,
        )
        self._stopping = crawler.stopping
        self._token = token
        self._crawls: dict[tuple[str, int], _Crawl] = {}
        self._woken = 0.0
        self._ledger_ahead = taken.now - time.monotonic()
        self._gates = HostSlotTable()
        self._gates.enter(taken.pages, taken.grants)

    async def run(self, pages: Sequence[FrontierPage]) -> int:
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self._limits.private, per_host=0))
            fetcher = stack.enter_context(Fetcher(connections, limit=self._limits.body, html=True))
            await asyncio.to_thread(self._get_to_know, pages)
            stream = Stream(
                partial(self._act, fetcher), self._exchange, lambda settled: settled.size, SIZE, stopping=self._stopping
            )
            return await stream.run([page for page in pages if (page.crawl, page.run) in self._crawls])

    def _now(self) -> float:
        """The ledger's time, carried on by this process's own clock."""
        return self._ledger_ahead + time.monotonic()

    def _exchange(self, done: Sequence[tuple[FrontierPage, SettledPage]], limit: int) -> list[FrontierPage]:
        self._gates.leave(page for page, _ in done)
        written, taken = self._frontier.exchange(
            [settled.call for _, settled in done], limit, self._token, self._gates.held
        )
        self._gates.enter(taken.pages, taken.grants)
        told = False
        for (page, settled), became in zip(done, written, strict=True):
            crawl = self._crawls[page.crawl, page.run]
            told |= crawl.order.callback is not None
            # What was cancelled, or taken by another in the meantime, is refused by the ledger, and that is that.
            if settled.links and became == "settled":
                crawl.wrote(settled.links)
        self._get_to_know(taken.pages)
        if (taken.more or told) and self._now() - self._woken > WAKE_PAUSE:
            self._woken = self._now()
            wake_safely(self._wake)
        return [page for page in taken.pages if (page.crawl, page.run) in self._crawls]

    def _get_to_know(self, pages: Sequence[FrontierPage]) -> None:
        for crawl, run in {(page.crawl, page.run) for page in pages}.difference(self._crawls):
            order = self._register.order(crawl)
            if order is not None:
                scope = Scope.of(order.start_url, order.include, order.exclude)
                self._crawls[crawl, run] = _Crawl(order, scope, crawl_faults.delivery_faults(order))

    async def _act(self, fetcher: Fetcher, page: FrontierPage) -> SettledPage:
        gate = self._gates.at(page.host)
        now = self._now()
        if gate.backoff_until > now and page.first is not None and now >= page.first + self._limits.retry_for:
            return self._failed(self._crawls[page.crawl, page.run], page, page.attempts, BACKOFF_WORDS)
        async with gate.free:
            now = self._now()
            # The host wants no requests, this process is to stop, or those before were so slow that the lease
            # would end under way.
            if self._stopping() or gate.backoff_until > now or now + self._limits.attempt > float(page.ends):
                return SettledPage(self._frontier.giving_back(page, now))
            return await self._try(fetcher, page, now)

    async def _try(self, fetcher: Fetcher, page: FrontierPage, now: float) -> SettledPage:
        crawl = self._crawls[page.crawl, page.run]
        attempts, first = page.attempts + 1, now if page.first is None else page.first
        attempt = Attempt(attempts, first + self._limits.retry_for, crawl.order.page.retry_404)
        try:
            outcome = await self._attempt(fetcher, crawl.order, page, attempt, first)
            return await self._settled(crawl, page, attempt, first, outcome)
        except Exception as error:
            # A bug in here must not take the round's other pages with it, again and again.
            log.exception("a page broke", crawl=page.crawl, url=page.url)
            return await self._settled(
                crawl, page, attempt, first, Trouble(f"the service broke: {type(error).__name__}")
            )

    async def _settled(
        self, crawl: _Crawl, page: FrontierPage, attempt: Attempt, first: float, outcome: FetchOutcome
    ) -> SettledPage:
        attempts = attempt.attempts
        decided = decide(attempt, outcome, self._now())
        backoff_until = _backoff_until(outcome, self._now())
        if backoff_until is not None:
            gate = self._gates.at(page.host)
            # The frontier says how long, where the host has not.
            gate.backoff_until = max(gate.backoff_until, backoff_until or self._now() + 1)
        match decided:
            case RetryAt(at=at, words=words, uncounted=uncounted):
                log.debug("page again", crawl=page.crawl, url=page.url, attempts=attempts, words=words)
                at = NEVER if at is None else at
                return SettledPage(self._frontier.again(page, at, attempts - uncounted, first, backoff_until))
            case GiveUp(reason=reason):
                return self._failed(crawl, page, attempts, _words(outcome, reason, attempts), backoff_until)
            case Completed(response=response):
                assert isinstance(outcome, Answered)  # noqa: S101  (the only outcome that can be done)
                return await self._done(crawl, page, attempts, outcome, response)
            case _:
                assert_never(decided)

    async def _attempt(
        self, fetcher: Fetcher, order: CrawlOrder, page: FrontierPage, attempt: Attempt, first: float
    ) -> FetchOutcome:
        if page.lost >= MOST_LOST:
            return Hopeless(f"given up: its worker ended {page.lost} times while it had this page")
        if order.faults:
            made_up = crawl_faults.outcome(order, page.url, attempt.attempts, first, self._now())
            if made_up is not None:
                return made_up
        left = attempt.give_up_at - self._now()
        return await fetcher.fetch(
            replace(order.page, url=page.url), min(self._limits.attempt, max(left, SHORTEST_ATTEMPT))
        )

    def _failed(
        self, crawl: _Crawl, page: FrontierPage, attempts: int, reason: str, backoff_until: float | None = None
    ) -> SettledPage:
        event = None
        if crawl.order.callback is not None:
            event = crawl_documents.page_event(crawl.order, page, attempts, 0, None, reason)
        entry, delay = crawl_documents.failed(page.url, reason), crawl.telling.delay(page.url)
        ending = Ending(entry, 0, event, fine=False, delay=delay, lose=crawl.telling.lose, backoff_until=backoff_until)
        return SettledPage(self._frontier.settling(page, ending))

    async def _done(
        self, crawl: _Crawl, page: FrontierPage, attempts: int, answer: Answered, response: str
    ) -> SettledPage:
        order, cost = crawl.order, _cost(answer.status)
        links: list[str] = []
        if (
            answer.html is not None
            and answer.status // 100 == 2  # noqa: PLR2004  (2xx)
            and (order.max_depth is None or page.depth < order.max_depth)
        ):
            try:
                links = crawl.unknown(await _links(crawl.scope, answer.html, answer.final_url))
            except Exception:
                # A bug in here must not take the round's other pages with it, again and again.
                log.exception("links broke", crawl=page.crawl, url=page.url)
                return self._failed(crawl, page, attempts, "its links cannot be read")
        if len(links) > LINKS_AT_ONCE:
            # Where the page is not ours any more, its settling is refused as well.
            await asyncio.to_thread(self._frontier.keep, page, links[LINKS_AT_ONCE:])
            links = links[:LINKS_AT_ONCE]
        redirected = normalised(answer.final_url) or page.url
        event = None if order.callback is None else crawl_documents.page_event(order, page, attempts, cost, response)
        ending = Ending(
            *(crawl_documents.completed(page.url, cost), cost, event),
            delay=crawl.telling.delay(page.url),
            lose=crawl.telling.lose,
            redirected="" if redirected == page.url else redirected,
            links=links,
        )
        return SettledPage(self._frontier.settling(page, ending), links, len(response))


async def _links(scope: Scope, html: str, url: str) -> list[str]:
    # An expression that finds the links itself may take its time on a short page, too.
    if len(html) <= CHUNK and not scope.include.targets:
        return scope.follow(html, url)
    return await asyncio.to_thread(scope.follow, html, url)


def _cost(status: int) -> int:
    # Only 200 and 404 are charged (contract: credits).
    return 1 if status in (200, 404) else 0


def _backoff_until(outcome: FetchOutcome, now: float) -> float | None:
    """Until when the page's host wants no requests, epoch seconds; 0: it has not said until when."""
    if isinstance(outcome, Answered) and outcome.status in (429, 503):
        if outcome.retry_after:
            return now + min(outcome.retry_after, LONGEST_BACKOFF)
        return 0.0 if outcome.status == 429 else None  # noqa: PLR2004
    return None


def _words(outcome: FetchOutcome, reason: str, attempts: int) -> str:
    """Why a page failed: what its last attempt met says more than that its time was over."""
    match outcome:
        case Answered(status=status):
            return f"HTTP {status} ({_times(attempts)})"
        case Trouble(words=words):
            return f"{words} ({_times(attempts)})"
        case _:
            return reason


def _times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"
