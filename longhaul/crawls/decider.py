"""What follows from what was seen of a crawl. Pure. `work.decisions` has the trouble that a job may have as well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, assert_never

from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.scraperapi.crawl_models import CrawlCancelSeen, CrawlProgress, CreateSeen, ProgressSeen
from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Interrupted,
    Malformed,
    NotFound,
    NothingAsked,
    Rejected,
    RemoteTrouble,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze, TroubleDecider
from longhaul.work.retry_policies import Policies

SECONDS_A_DAY = 24 * 3600.0
FAILED, CANCELLED = "failed", "cancelled"
ENDED_STATES = frozenset({"completed", "finished", FAILED, CANCELLED, "delivered"})
"""States of the remote in which nothing more is fetched, and nothing is to come."""
ACTIVE_STATES = frozenset({"delayed", "running", "in delivery"})
"""The others. A state that is in neither set decides nothing."""


@dataclass(frozen=True, slots=True)
class Polled:
    """The progress at a poll; the next is at `due`. `idle`: since when the remote has shown nothing active, None while
    it shows something.
    """

    due: float
    progress: CrawlProgress
    idle: float | None


@dataclass(frozen=True, slots=True)
class Complete:
    """The end of a crawl that has run; `reason` where something is missing."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndRun:
    """The end of one run of a recurring crawl, which goes on; the next poll is at `due`. `next_run`: where the remote
    has said its number.
    """

    due: float
    reason: str = ""
    next_run: int | None = None


CrawlEnd = Complete | Fail | Expire | Cancel
CrawlDecision = Sent | Polled | Snooze | Retry | Pause | EndRun | CrawlEnd


@dataclass(frozen=True, slots=True)
class CrawlDecider:
    """`policies` as for jobs, with the crawls' own deadline; `grace`: seconds to wait for events when there should be
    no more.
    """

    policies: Policies
    grace: float

    def decide(self, step: CrawlStep, crawl: Crawl, seen: Any, now: float) -> CrawlDecision:
        """What follows from what `step` has seen of a crawl."""
        match step:
            case CrawlStep.CREATE:
                return self.after_create(crawl, seen, now)
            case CrawlStep.POLL:
                return self.after_poll(crawl, seen, now)
            case CrawlStep.CANCEL:
                return self.after_cancel(crawl, seen, now)
            case _:
                assert_never(step)

    def after_create(self, crawl: Crawl, seen: CreateSeen, now: float) -> CrawlDecision:
        """What follows from the answer to a creation."""
        match seen:
            case Accepted() if not crawl.request.enabled:
                return Complete("not enabled: the remote keeps the configuration and runs nothing")
            case Accepted(remote_id):
                return Sent(remote_id, self._decider(crawl).next_poll(crawl, 0.0, now))
            case NotFound():
                # No single crawl's fault: every creation at this address would get it.
                return self._decider(crawl).pause_account(
                    crawl, "the remote answers 404 to crawls: is LONGHAUL_CRAWLER_URL right?", now
                )
            case _:
                return TroubleDecider(self.policies).not_taken(crawl, seen, now)

    def after_poll(self, crawl: Crawl, seen: ProgressSeen, now: float) -> CrawlDecision:
        """What follows from a poll of the progress, or, where the summary is there, from the time that has passed
        since.
        """
        end = self.after_event(crawl, now)
        if end is not None:
            return end
        if not crawl.request.recurring and now >= crawl.created + self.policies.deadline:
            return Expire(f"not ended within {self.policies.deadline / SECONDS_A_DAY:g} days")
        match seen:
            case CrawlProgress():
                return self._polled(crawl, seen, now)
            case NotFound(gone) if gone or now - (crawl.sent or crawl.created) >= self.policies.grace:
                why = "the remote does not know the crawl any more"
                return self._idle(crawl, crawl.progress or CrawlProgress(0, 0, 0), now, Complete(why))
            case Throttled(seconds):
                return Snooze(
                    max(self._next_poll(crawl, now), now + min(seconds or 0.0, self.policies.retry_after_ceiling))
                )
            case NotFound() | NothingAsked() | Rejected() | AccountRefused() | RemoteTrouble() | Unreachable():
                # Events come without polls, so no account is paused for a poll's sake.
                return Snooze(self._next_poll(crawl, now))
            case Interrupted() | Malformed() | TooLarge():
                return Snooze(self._next_poll(crawl, now))
            case _:
                assert_never(seen)

    def after_event(self, crawl: Crawl, now: float) -> Complete | EndRun | Fail | Cancel | None:
        """What follows from an event: the end, once the summary is there with every page of it, or the time to wait for
        them is over.
        """
        if crawl.summary is None or crawl.summary_at is None:
            return None
        if crawl.arrived.pages < crawl.summary.done + crawl.summary.failed and now < crawl.summary_at + self.grace:
            return None
        return self._end(crawl, crawl.summary.state, "", now)

    def after_cancel(self, crawl: Crawl, seen: CrawlCancelSeen, now: float) -> CrawlDecision:
        """What follows from the answer to a cancellation: it ends when the remote agrees. At the deadline it has ended
        there in any case, but for a recurring crawl.
        """
        if isinstance(seen, Rejected) and (crawl.request.recurring or now < crawl.created + self.policies.deadline):
            return Snooze(self._next_poll(crawl, now))
        return self._decider(crawl).after_cancel(crawl, seen, now)

    def _polled(self, crawl: Crawl, seen: CrawlProgress, now: float) -> CrawlDecision:
        begun = crawl.arrived.pages > 0 or (crawl.run == 1 and seen.done + seen.failed > 0)
        ended = seen.state in ENDED_STATES
        over = ended or (seen.state not in ACTIVE_STATES and seen.active == 0)
        if over and (begun or (ended and crawl.run == 1)):
            return self._idle(crawl, seen, now, self._end(crawl, seen.state, "no summary came", now))
        return Polled(self._next_poll(crawl, now), seen, None)

    def _idle(self, crawl: Crawl, seen: CrawlProgress, now: float, end: CrawlDecision) -> CrawlDecision:
        """Nothing is active: events may still be on their way, for the grace time; then `end`."""
        since = now if crawl.idle is None else crawl.idle
        if now < since + self.grace:
            return Polled(min(self._next_poll(crawl, now), since + self.grace), seen, since)
        return end

    def _end(self, crawl: Crawl, state: str, reason: str, now: float) -> Complete | EndRun | Fail | Cancel:
        if crawl.request.recurring and state != CANCELLED:
            return EndRun(self._decider(crawl).next_poll(crawl, 0.0, now), reason)
        match state:
            case "cancelled":
                # A user has cancelled it at the remote.
                return Cancel()
            case "failed":
                return Fail("the remote says that the crawl has failed")
            case _:
                return Complete(reason)

    def _next_poll(self, crawl: Crawl, now: float) -> float:
        return self._decider(crawl).next_poll(crawl, now - (crawl.sent or crawl.created), now)

    def _decider(self, crawl: Crawl) -> TroubleDecider:
        # A recurring crawl has no deadline: it runs until somebody cancels it.
        return TroubleDecider(replace(self.policies, deadline=inf) if crawl.request.recurring else self.policies)


def expected(crawl: Crawl) -> int | None:
    """How many pages the remote has counted: in its summary, else at the last poll."""
    counted = crawl.summary or crawl.progress
    return None if counted is None else counted.done + counted.failed
