"""What follows from one attempt at a target: try again later, finished, failed. Pure: attempt, outcome, now -> decide.

met                          decide
429, 5xx, connection trouble RetryAt, with growing pauses, until the run's time is over; then
GiveUp(failed_due_to_timeout) 404 with retry_404           the same, but in the end it is the target's answer: Completed
any other status             Completed: `finished` is not success (contract) beyond the size limit, a redirect that
leads nowhere, a private address, a page that cannot be converted: GiveUp, with the reason
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

PAUSE_FIRST = 1.0
PAUSE_GROWTH = 1.6
PAUSE_CEILING = 600.0
"""Pauses of 1, 1.6, 2.6, 4.1 ... seconds up to ten minutes: some 160 attempts in 24 hours."""

TIMED_OUT = "failed_due_to_timeout"
"""The vendor's word for a run whose time is over."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the decide needs of the run: attempts so far with this one, and when it is given up (epoch seconds)."""

    attempts: int
    give_up_at: float
    retry_404: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The target's answer; `response` is the contract's `response` as JSON text, `retry_after` in seconds where it
    asked for a pause. For who wants to look for links: `final_url`, and `html`, the page's text before any conversion,
    where it is HTML."""

    status: int
    response: str
    retry_after: float | None = None
    final_url: str = ""
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer: refused, reset, timed out, a name that nobody knows."""

    words: str


@dataclass(frozen=True, slots=True)
class Hopeless:
    """No attempt can ever work."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not tried at all, and not counted: the fault dial says when (epoch seconds; None: never)."""

    at: float | None


FetchOutcome = Answered | Trouble | Hopeless | Later


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The next attempt is at `at` (epoch seconds; None: never). `uncounted`: this one was none."""

    at: float | None
    words: str
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
        case Answered(status=status, response=response) if not _worth_another(status, attempt):
            return Completed(response)
        case Answered(status=404, response=response) if now >= attempt.give_up_at:
            return Completed(response)
        case Answered(status=status, retry_after=retry_after):
            return _again(attempt, now, f"HTTP {status}", retry_after or 0.0)
        case Trouble(words=words):
            return _again(attempt, now, words, 0.0)
        case Hopeless(reason=reason):
            return GiveUp(reason)
        case Later(at=at):
            return RetryAt(at, "told to wait", uncounted=True)
        case _:
            assert_never(outcome)


def pause(attempts: int) -> float:
    """Seconds before the next attempt, after `attempts` of them."""
    # The exponent is bounded because 1.6 ** 1511 is no float any more.
    return float(min(PAUSE_CEILING, PAUSE_FIRST * PAUSE_GROWTH ** min(attempts - 1, 50)))


def _worth_another(status: int, attempt: Attempt) -> bool:
    return status == 429 or status >= 500 or (status == 404 and attempt.retry_404)  # noqa: PLR2004


def _again(attempt: Attempt, now: float, words: str, asked: float) -> AttemptDecision:
    if now >= attempt.give_up_at:
        return GiveUp(TIMED_OUT)
    # The last attempt is made when the time is over, not a pause earlier.
    return RetryAt(min(now + max(pause(attempt.attempts), asked), attempt.give_up_at), words)
