"""What follows from one attempt at a target. Pure: attempt, outcome, now -> decision.

| outcome | decision |
|---|---|
| 429, 5xx, connection trouble | RetryAt with growing pauses; when the time is over, GiveUp(failed_due_to_timeout) |
| 404 with retry_404 | the same; when the time is over, Completed: the 404 is the target's answer |
| any other status | Completed: `finished` is not success (contract) |
| body over the limit, bad redirect, private address, failed conversion | GiveUp with the reason |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

FIRST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.6
LONGEST_PAUSE_SECONDS = 600.0
"""Pauses of 1, 1.6, 2.6, 4.1 ... seconds up to ten minutes: some 160 attempts in 24 hours."""

TIMED_OUT = "failed_due_to_timeout"
"""The vendor's word for a run whose time is over."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the decision needs to know: the attempts so far, this one included, and when to give up (epoch seconds)."""

    attempts: int
    give_up_at: float
    retry_404: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The target answered. `response`: the contract's `response` as JSON text; `retry_after`: seconds, where the target
    asked for a pause. For a crawl, which reads links: `final_url`, and `html`, the page's text before any conversion,
    where it is HTML.
    """

    status: int
    response: str
    retry_after: float | None = None
    final_url: str = ""
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer: refused, reset, timed out, unknown host name."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hopeless:
    """No attempt can ever succeed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """No attempt was made, and none is counted: the fault dial delays it until `at` (epoch seconds; None: for ever)."""

    at: float | None


FetchOutcome = Answered | Trouble | Hopeless | Later


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The next attempt is at `at` (epoch seconds; None: never). `uncounted`: no attempt was made this time."""

    at: float | None
    reason: str
    uncounted: bool = False


@dataclass(frozen=True, slots=True)
class Completed:
    """`finished`, with the contract's `response`."""

    response: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """`failed`, with the contract's `failReason`."""

    reason: str


AttemptDecision = RetryAt | Completed | GiveUp


def decide(attempt: Attempt, outcome: FetchOutcome, now: float) -> AttemptDecision:
    """What becomes of the run."""
    match outcome:
        case Answered(status=status, response=response) if not _is_retryable(status, attempt):
            return Completed(response)
        case Answered(status=404, response=response) if now >= attempt.give_up_at:
            return Completed(response)
        case Answered(status=status, retry_after=retry_after):
            return _retry(attempt, now, f"HTTP {status}", retry_after or 0.0)
        case Trouble(reason=reason):
            return _retry(attempt, now, reason, 0.0)
        case Hopeless(reason=reason):
            return GiveUp(reason)
        case Later(at=at):
            return RetryAt(at, "delayed by the fault dial", uncounted=True)
        case _:
            assert_never(outcome)


def pause_seconds(attempts: int) -> float:
    """The pause before the next attempt, after `attempts` of them."""
    # The exponent is bounded because 1.6 ** 1511 overflows a float.
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * PAUSE_GROWTH ** min(attempts - 1, 50)))


def _is_retryable(status: int, attempt: Attempt) -> bool:
    return status == 429 or status >= 500 or (status == 404 and attempt.retry_404)  # noqa: PLR2004


def _retry(attempt: Attempt, now: float, reason: str, wanted_pause: float) -> AttemptDecision:
    if now >= attempt.give_up_at:
        return GiveUp(TIMED_OUT)
    # The last attempt is made when the time is over, not a pause earlier.
    return RetryAt(min(now + max(pause_seconds(attempt.attempts), wanted_pause), attempt.give_up_at), reason)
