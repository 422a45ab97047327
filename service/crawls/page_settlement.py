"""What becomes of a page after an attempt: tried again, failed, or completed with its event and its links."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import structlog

from longhaul.ledger.lua import ScriptCall
from longhaul.links.extract import normalised
from longhaul.links.scope import Scope
from service.crawls.crawl_run import CrawlRun
from service.crawls.documents import completed_entry, failed_entry, page_event
from service.crawls.frontier import LINKS_AT_ONCE, Frontier, FrontierPage, PageEnd
from service.crawls.host_slots import HostSlotTable
from service.fetching.fetch import CHUNK_BYTES
from service.fetching.retry_policy import Answered, Attempt, Completed, FetchOutcome, GiveUp, RetryAt, Trouble, decide

LONGEST_BACKOFF_SECONDS = 3600.0
"""A host that asks for a longer pause is tried again after that."""
UNKNOWN_BACKOFF_SECONDS = 1.0
"""Pause in this round for a host that has not said how long. The frontier has the pause for all rounds."""
NEVER = 9e12
"""Epoch seconds that no run lives to see."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SettledPage:
    """The write that settles a page, the links that it writes, and the bytes of its answer."""

    call: ScriptCall
    links: Sequence[str] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class PageSettlement:
    """Settles the pages of one round. `now`: the ledger's time, epoch seconds."""

    frontier: Frontier
    slots: HostSlotTable
    now: Callable[[], float]

    async def settle(
        self, run: CrawlRun, page: FrontierPage, attempt: Attempt, first_attempt: float, outcome: FetchOutcome
    ) -> SettledPage:
        """What follows from an attempt; `first_attempt`: when the page was first tried (epoch seconds)."""
        decision = decide(attempt, outcome, self.now())
        backoff_until = _backoff_until(outcome, self.now())
        if backoff_until is not None:
            self.slots.of(page.host).back_off(backoff_until or self.now() + UNKNOWN_BACKOFF_SECONDS)
        match decision:
            case RetryAt(at=at, reason=reason, uncounted=uncounted):
                log.debug("page retried", crawl=page.crawl_id, url=page.url, attempts=attempt.attempts, reason=reason)
                at = NEVER if at is None else at
                attempts = attempt.attempts - uncounted
                return SettledPage(self.frontier.retrying(page, at, attempts, first_attempt, backoff_until))
            case GiveUp(reason=reason):
                return self.fail(run, page, attempt.attempts, _reason(outcome, reason, attempt.attempts), backoff_until)
            case Completed(response=response):
                assert isinstance(outcome, Answered)  # noqa: S101  (the only outcome that can be completed)
                return await self._complete(run, page, attempt.attempts, outcome, response)
            case _:
                assert_never(decision)

    def fail(
        self, run: CrawlRun, page: FrontierPage, attempts: int, reason: str, backoff_until: float | None = None
    ) -> SettledPage:
        """The page has failed; `backoff_until`: as `Frontier.retrying` has it."""
        event = None
        if run.order.callback is not None:
            event = page_event(run.order, page, attempts, 0, None, reason)
        end = PageEnd(
            *(failed_entry(page.url, reason), 0, event),
            completed=False,
            delay_seconds=run.delivery_faults.delay_seconds(page.url),
            lose_every=run.delivery_faults.lose,
            backoff_until=backoff_until,
        )
        return SettledPage(self.frontier.settling(page, end))

    async def _complete(
        self, run: CrawlRun, page: FrontierPage, attempts: int, answer: Answered, response: str
    ) -> SettledPage:
        order, cost = run.order, _cost(answer.status)
        links: list[str] = []
        if (
            answer.html is not None
            and answer.status // 100 == 2  # noqa: PLR2004  (2xx)
            and (order.max_depth is None or page.depth < order.max_depth)
        ):
            try:
                links = run.unwritten(await _links(run.scope, answer.html, answer.final_url))
            except Exception:
                # A bug in here must not fail the other pages of the round, which would all be claimed and fail again.
                log.exception("the links of a page cannot be read", crawl=page.crawl_id, url=page.url)
                return self.fail(run, page, attempts, "its links cannot be read")
        if len(links) > LINKS_AT_ONCE:
            # Where this is refused, because the page is not the round's any more, so is the settling below.
            await asyncio.to_thread(self.frontier.keep_links, page, links[LINKS_AT_ONCE:])
            links = links[:LINKS_AT_ONCE]
        redirected_to = normalised(answer.final_url) or page.url
        event = None if order.callback is None else page_event(order, page, attempts, cost, response)
        end = PageEnd(
            *(completed_entry(page.url, cost), cost, event),
            delay_seconds=run.delivery_faults.delay_seconds(page.url),
            lose_every=run.delivery_faults.lose,
            redirected_to="" if redirected_to == page.url else redirected_to,
            links=links,
        )
        return SettledPage(self.frontier.settling(page, end), links, len(response))


async def _links(scope: Scope, html: str, url: str) -> list[str]:
    # An expression that finds the links itself can be slow on a short page, too.
    if len(html) <= CHUNK_BYTES and not scope.include.targets:
        return scope.follow(html, url)
    return await asyncio.to_thread(scope.follow, html, url)


def _cost(status: int) -> int:
    # Only 200 and 404 are charged (contract: credits).
    return 1 if status in (200, 404) else 0


def _backoff_until(outcome: FetchOutcome, now: float) -> float | None:
    """Until when the page's host wants no requests, epoch seconds; 0: it has not said; None: it accepts requests."""
    if isinstance(outcome, Answered) and outcome.status in (429, 503):
        if outcome.retry_after:
            return now + min(outcome.retry_after, LONGEST_BACKOFF_SECONDS)
        return 0.0 if outcome.status == 429 else None  # noqa: PLR2004
    return None


def _reason(outcome: FetchOutcome, reason: str, attempts: int) -> str:
    """Why a page failed. The outcome of its last attempt says more than that its time was over."""
    counted = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    match outcome:
        case Answered(status=status):
            return f"HTTP {status} ({counted})"
        case Trouble(reason=last):
            return f"{last} ({counted})"
        case _:
            return reason
