"""What follows from trouble with the remote, for a job and a crawl alike. Pure: no I/O, no clock, no random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from longhaul.scraperapi.crawl_models import CrawlProgress
from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    CancelSeen,
    Failed,
    Finished,
    Interrupted,
    Malformed,
    NoKey,
    NotFound,
    NothingAsked,
    Rejected,
    RemoteTrouble,
    Running,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.work.backoff import doubling, growing, jittered
from longhaul.work.item import Item
from longhaul.work.retry_policies import OUTAGE_STATUS, Policies


@dataclass(frozen=True, slots=True)
class Sent:
    """The remote has taken the job as `remote_id`; the first poll is due at `due`."""

    remote_id: str
    due: float


@dataclass(frozen=True, slots=True)
class Snooze:
    """Not ready, or nothing happened: the same step again at `due`. Not an error; costs no attempt.

    `alive`: the remote has shown that it has the job and no result yet.
    """

    due: float
    alive: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """A failure that may pass: the same step again at `due`. Costs an attempt."""

    due: float
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The end of a job that can't succeed; `attempts` are failures that it had since it was claimed."""

    reason: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Expire:
    """The end of a job whose time is over or whose result is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The end of a job that somebody cancelled."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The account's trouble: this step pauses for the whole account until `until`; the job stays due."""

    until: float
    reason: str


NotTakenSeen = (
    NothingAsked
    | NoKey
    | Rejected
    | AccountRefused
    | Throttled
    | RemoteTrouble
    | Unreachable
    | Interrupted
    | Malformed
    | TooLarge
)
NotTaken = Snooze | Retry | Pause | Fail | Expire | Cancel


@dataclass(frozen=True, slots=True)
class TroubleDecider:
    """`policies` are the numbers; the cases are here."""

    policies: Policies

    def not_taken(self, item: Item, seen: NotTakenSeen, now: float) -> NotTaken:
        """What follows where the remote has not taken what was sent, or has not said so."""
        match seen:
            case NothingAsked():
                return (
                    Cancel()
                    if item.cancelled
                    else Expire(f"not accepted by the remote within {hours(self.policies.deadline)}")
                )
            case Rejected(words):
                return Fail(f"the remote rejected the request: {words}")
            case AccountRefused() | Throttled():
                return self.pause(item, seen, now)
            case NoKey():
                return self.pause_account(item, f"account `{item.account}` has no key here: set LONGHAUL_API_KEYS", now)
            case Unreachable():
                return Snooze(self._next_send(item, now))
            case RemoteTrouble(status, _) if status == OUTAGE_STATUS:
                return Snooze(self._next_send(item, now))
            case RemoteTrouble(status, words):
                return self.retry(item, f"HTTP {status} from the remote: {words}", now)
            case Interrupted(words):
                return self.retry(item, f"the submission broke off: {words}", now)
            case Malformed(words):
                return self.retry(item, f"the remote's answer is malformed: {words}", now)
            case TooLarge(limit):
                return self.retry(item, f"the remote's answer to a submission is over {limit} bytes", now)
            case _:
                assert_never(seen)

    def after_cancel(self, item: Item, seen: CancelSeen, now: float) -> Cancel | Pause | Snooze:
        """What follows from the answer to a cancellation: the end, when the remote agrees or the deadline is past."""
        match seen:
            case NothingAsked() | Cancelled() | NotFound() | Rejected():
                return Cancel()
            case _ if now >= item.created + self.policies.deadline:
                return Cancel()
            case AccountRefused() | Throttled():
                return self.pause(item, seen, now)
            case RemoteTrouble() | Unreachable() | Interrupted() | Malformed() | TooLarge():
                return self.snooze(item, now)
            case _:
                assert_never(seen)

    def next_poll(self, item: Item, age: float, now: float) -> float:
        """When to poll again what the remote has had for `age` seconds (epoch seconds)."""
        rules = self.policies
        pause = growing(age, rules.poll_first, rules.poll_growth, rules.poll_ceiling)
        return self._in_time(item, now + jittered(pause, rules.poll_jitter, f"{item.id}:{item.polls}"), now)

    def pause(self, item: Item, seen: AccountRefused | Throttled, now: float) -> Pause:
        """The pause that the remote's refusal of the account means."""
        rules = self.policies
        if isinstance(seen, AccountRefused):
            return self.pause_account(item, f"HTTP {seen.status} from the remote: {seen.words}", now)
        if seen.retry_after is None:
            pause = doubling(item.pauses, rules.throttle_first, rules.throttle_ceiling)
        else:
            pause = min(max(seen.retry_after, rules.poll_first), rules.retry_after_ceiling)
        return Pause(now + pause, "too many requests (HTTP 429)")

    def pause_account(self, item: Item, reason: str, now: float) -> Pause:
        """A pause of the account, longer each time."""
        return Pause(now + doubling(item.pauses, self.policies.account_first, self.policies.account_ceiling), reason)

    def snooze(self, item: Item, now: float, *, alive: bool = False) -> Snooze:
        """Poll again later; nothing has failed."""
        return Snooze(self.next_poll(item, now - (item.sent or item.created), now), alive)

    def _in_time(self, item: Item, due: float, now: float) -> float:
        # The last poll comes at the deadline, not up to a pause after it.
        return min(due, max(item.created + self.policies.deadline, now))

    def _next_send(self, item: Item, now: float) -> float:
        rules = self.policies
        pause = growing(now - item.created, rules.poll_first, rules.poll_growth, rules.resend_ceiling)
        return self._in_time(
            item, now + jittered(pause, rules.poll_jitter, f"{item.id}:{item.submissions}:{now:.0f}"), now
        )

    def retry(self, item: Item, reason: str, now: float) -> Retry | Fail:
        """Try again after a pause, at the cost of an attempt, or fail after the last one."""
        rules, attempts = self.policies, item.attempts
        if attempts + 1 >= rules.attempts:
            return Fail(f"gave up after {attempts + 1} attempts; last: {reason}", attempts=1)
        pause = jittered(
            doubling(attempts, rules.retry_first, rules.retry_ceiling), rules.poll_jitter, f"{item.id}:{attempts}"
        )
        return Retry(self._in_time(item, now + pause, now), reason)


DEALT_WITH = (Accepted, Running, Finished, Failed, Cancelled, NotFound, Rejected, CrawlProgress)
"""Answers with which the remote has dealt with the call itself, and not with the account."""


def ends_pause(seen: object) -> bool:
    """Whether what was seen shows that the account is in order again."""
    return isinstance(seen, DEALT_WITH)


def hours(seconds: float) -> str:
    """Seconds in words, in hours."""
    return f"{seconds / 3600:g} hours"
