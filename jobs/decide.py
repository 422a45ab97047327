"""What follows from what was seen. Pure: no I/O, no clock, no random; every case stands here, and the type checker knows that it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from jobs.backoff import doubling, growing, jittered
from jobs.job import Job
from jobs.policies import OUTAGE, Policies
from jobs.subject import Subject
from scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    CancelSeen,
    Failed,
    Finished,
    Interrupted,
    LookSeen,
    Malformed,
    NoKey,
    NotFound,
    NothingAsked,
    Rejected,
    RemoteTrouble,
    Running,
    Seen,
    SubmitSeen,
    TargetResponse,
    Throttled,
    TooLarge,
    Unreachable,
)


@dataclass(frozen=True, slots=True)
class Sent:
    """The remote has taken the job as `remote_id`; the first look is due at `due`."""

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
class Resend:
    """The remote has lost the job: submit it again. Costs credits twice, and counts as a loss."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The end that everybody wants: the result."""

    response: TargetResponse


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
class Hold:
    """The account's trouble: pause this step for the whole account until `until`; the job stays due and loses nothing."""

    until: float
    reason: str


NotTakenSeen = NothingAsked | NoKey | Rejected | AccountRefused | Throttled | RemoteTrouble | Unreachable | Interrupted | Malformed | TooLarge
NotTaken = Snooze | Retry | Hold | Fail | Expire | Cancel
End = Finish | Fail | Expire | Cancel
Decision = Sent | Snooze | Retry | Resend | Hold | End


@dataclass(frozen=True, slots=True)
class Decider:
    """`policies` are the numbers; the cases are here."""

    policies: Policies

    def after_send(self, job: Job, seen: SubmitSeen, now: float) -> Decision:
        """What follows from the answer to a submission."""
        match seen:
            case Accepted(remote_id):
                return Sent(remote_id, self.next_look(job, 0.0, now))
            case NotFound():
                # No single job's fault: every submission to this address would get it.
                return self.pause_account(job, "the remote answers 404 to submissions: is LONGHAUL_ASYNC_URL right?", now)
            case _:
                return self.not_taken(job, seen, now)

    def not_taken(self, subject: Subject, seen: NotTakenSeen, now: float) -> NotTaken:
        """What follows where the remote has not taken what was sent, or has not said so."""
        match seen:
            case NothingAsked():
                return Cancel() if subject.cancelled else Expire(f"not accepted by the remote within {_hours(self.policies.deadline)}")
            case Rejected(words):
                return Fail(f"the remote rejected the request: {words}")
            case AccountRefused() | Throttled():
                return self.hold(subject, seen, now)
            case NoKey():
                return self.pause_account(subject, f"account `{subject.account}` has no key here: set LONGHAUL_API_KEYS", now)
            case Unreachable():
                return Snooze(self._next_send(subject, now))
            case RemoteTrouble(status, _) if status == OUTAGE:
                return Snooze(self._next_send(subject, now))
            case RemoteTrouble(status, words):
                return self._retry(subject, f"HTTP {status} from the remote: {words}", now)
            case Interrupted(words):
                return self._retry(subject, f"the submission broke off: {words}", now)
            case Malformed(words):
                return self._retry(subject, f"the remote's answer is malformed: {words}", now)
            case TooLarge(limit):
                return self._retry(subject, f"the remote's answer to a submission is over {limit} bytes", now)
            case _:
                assert_never(seen)

    def after_look(self, job: Job, seen: LookSeen, now: float) -> Decision:
        """What follows from a look, or from what the remote pushed. At the deadline, whatever is no end becomes one."""
        decision = self._after_look(job, seen, now)
        if now < job.created + self.policies.deadline:
            return decision
        match decision:
            case Snooze() | Resend() | Hold():
                return Expire(f"not finished within {_hours(self.policies.deadline)}")
            case Retry(_, reason):
                return Expire(f"not finished within {_hours(self.policies.deadline)}; last: {reason}")
            case _:
                return decision

    def _after_look(self, job: Job, seen: LookSeen, now: float) -> Decision:
        match seen:
            case Finished(response):
                return Finish(response)
            case Failed(reason):
                return Fail(reason)
            case Cancelled():
                return Cancel()
            case Running():
                return self._snooze(job, now, alive=True)
            case RemoteTrouble() | Unreachable() | Interrupted():
                return self._snooze(job, now)
            case NotFound(gone):
                return self._missing(job, gone=gone, now=now)
            case Rejected(words):
                return Fail(f"the remote rejected the look: {words}")
            case AccountRefused() | Throttled():
                return self.hold(job, seen, now)
            case Malformed(words):
                return self._retry(job, f"the remote's answer is malformed: {words}", now)
            case TooLarge(limit):
                return Fail(f"the result is over {limit} bytes (LONGHAUL_MAX_BODY_BYTES)")
            case _:
                assert_never(seen)

    def after_cancel(self, subject: Subject, seen: CancelSeen, now: float) -> Cancel | Hold | Snooze:
        """What follows from the answer to a cancellation: it ends when the remote agrees, at the deadline in any case."""
        match seen:
            case NothingAsked() | Cancelled() | NotFound() | Rejected():
                return Cancel()
            case _ if now >= subject.created + self.policies.deadline:
                return Cancel()
            case AccountRefused() | Throttled():
                return self.hold(subject, seen, now)
            case RemoteTrouble() | Unreachable() | Interrupted() | Malformed() | TooLarge():
                return self._snooze(subject, now)
            case _:
                assert_never(seen)

    def next_look(self, subject: Subject, age: float, now: float) -> float:
        """When to look again at what the remote has had for `age` seconds."""
        rules = self.policies
        pause = growing(age, rules.look_first, rules.look_growth, rules.look_ceiling)
        return self._in_time(subject, now + jittered(pause, rules.look_jitter, f"{subject.id}:{subject.polls}"), now)

    def hold(self, subject: Subject, seen: AccountRefused | Throttled, now: float) -> Hold:
        """The pause that the remote's refusal of the account means."""
        rules = self.policies
        if isinstance(seen, AccountRefused):
            return self.pause_account(subject, f"HTTP {seen.status} from the remote: {seen.words}", now)
        if seen.retry_after is None:
            pause = doubling(subject.pauses, rules.throttle_first, rules.throttle_ceiling)
        else:
            pause = min(max(seen.retry_after, rules.look_first), rules.retry_after_ceiling)
        return Hold(now + pause, "too many requests (HTTP 429)")

    def pause_account(self, subject: Subject, reason: str, now: float) -> Hold:
        """A pause of the account, longer each time."""
        return Hold(now + doubling(subject.pauses, self.policies.account_first, self.policies.account_ceiling), reason)

    def _snooze(self, subject: Subject, now: float, *, alive: bool = False) -> Snooze:
        return Snooze(self.next_look(subject, now - (subject.sent or subject.created), now), alive)

    def _in_time(self, subject: Subject, due: float, now: float) -> float:
        # What is last comes on time, not up to a pause late; after it there is nothing.
        return min(due, max(subject.created + self.policies.deadline, now))

    def _next_send(self, subject: Subject, now: float) -> float:
        rules = self.policies
        pause = growing(now - subject.created, rules.look_first, rules.look_growth, rules.resend_ceiling)
        return self._in_time(subject, now + jittered(pause, rules.look_jitter, f"{subject.id}:{subject.submissions}:{now:.0f}"), now)

    def _retry(self, subject: Subject, reason: str, now: float) -> Retry | Fail:
        rules, attempts = self.policies, subject.attempts
        if attempts + 1 >= rules.attempts:
            return Fail(f"gave up after {attempts + 1} attempts; last: {reason}", attempts=1)
        pause = jittered(doubling(attempts, rules.retry_first, rules.retry_ceiling), rules.look_jitter, f"{subject.id}:{attempts}")
        return Retry(self._in_time(subject, now + pause, now), reason)

    def _missing(self, job: Job, *, gone: bool, now: float) -> Snooze | Resend | Expire:
        if not gone and now - (job.sent or job.created) < self.policies.grace:
            return self._snooze(job, now)
        if job.losses < job.resubmit:
            return Resend()
        times = "once" if job.losses == 0 else f"{job.losses + 1} times"
        return Expire(f"the remote lost the result {times}; resubmit={job.resubmit}")


def ends_pause(seen: Seen) -> bool:
    """Whether this answer shows that the account is in order again: the remote has dealt with the call itself."""
    return isinstance(seen, Accepted | Running | Finished | Failed | Cancelled | NotFound | Rejected)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} hours"
