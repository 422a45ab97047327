"""What follows from what was seen of a job. Pure: no I/O, no clock, no random; every case stands here, and the type
checker knows that it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

from longhaul.jobs.job import Job, JobStep
from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    Failed,
    Finished,
    Interrupted,
    Malformed,
    NotFound,
    PollSeen,
    Rejected,
    RemoteTrouble,
    Running,
    SubmitSeen,
    TargetResponse,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze, TroubleDecider, hours


@dataclass(frozen=True, slots=True)
class Resend:
    """The remote has lost the job: submit it again. Costs credits twice, and counts as a loss."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The end that everybody wants: the result."""

    response: TargetResponse


End = Finish | Fail | Expire | Cancel
Decision = Sent | Snooze | Retry | Resend | Pause | End


@dataclass(frozen=True, slots=True)
class JobDecider(TroubleDecider):
    """The cases of a job; trouble that a crawl may have as well is decided in `work.decisions`."""

    def decide(self, step: JobStep, job: Job, seen: Any, now: float) -> Decision:
        """What follows from what `step` has seen of a job."""
        match step:
            case JobStep.POLL:
                return self.after_poll(job, seen, now)
            case JobStep.SEND:
                return self.after_send(job, seen, now)
            case JobStep.CANCEL:
                return self.after_cancel(job, seen, now)
            case _:
                assert_never(step)

    def after_send(self, job: Job, seen: SubmitSeen, now: float) -> Decision:
        """What follows from the answer to a submission."""
        match seen:
            case Accepted(remote_id):
                return Sent(remote_id, self.next_poll(job, 0.0, now))
            case NotFound():
                # No single job's fault: every submission to this address would get it.
                return self.pause_account(
                    job, "the remote answers 404 to submissions: is LONGHAUL_ASYNC_URL right?", now
                )
            case _:
                return self.not_taken(job, seen, now)

    def after_poll(self, job: Job, seen: PollSeen, now: float) -> Decision:
        """What follows from a poll, or from what the remote pushed. At the deadline every decision becomes an end."""
        decision = self._after_poll(job, seen, now)
        if now < job.created + self.policies.deadline:
            return decision
        match decision:
            case Snooze() | Resend() | Pause():
                return Expire(f"not finished within {hours(self.policies.deadline)}")
            case Retry(_, reason):
                return Expire(f"not finished within {hours(self.policies.deadline)}; last: {reason}")
            case _:
                return decision

    def _after_poll(self, job: Job, seen: PollSeen, now: float) -> Decision:
        match seen:
            case Finished(response):
                return Finish(response)
            case Failed(reason):
                return Fail(reason)
            case Cancelled():
                return Cancel()
            case Running():
                return self.snooze(job, now, alive=True)
            case RemoteTrouble() | Unreachable() | Interrupted():
                return self.snooze(job, now)
            case NotFound(gone):
                return self._missing(job, gone=gone, now=now)
            case Rejected(words):
                return Fail(f"the remote rejected the poll: {words}")
            case AccountRefused() | Throttled():
                return self.pause(job, seen, now)
            case Malformed(words):
                return self.retry(job, f"the remote's answer is malformed: {words}", now)
            case TooLarge(limit):
                return Fail(f"the result is over {limit} bytes (LONGHAUL_MAX_BODY_BYTES)")
            case _:
                assert_never(seen)

    def _missing(self, job: Job, *, gone: bool, now: float) -> Snooze | Resend | Expire:
        if not gone and now - (job.sent or job.created) < self.policies.grace:
            return self.snooze(job, now)
        if job.losses < job.resubmit:
            return Resend()
        times = "once" if job.losses == 0 else f"{job.losses + 1} times"
        return Expire(f"the remote lost the result {times}; resubmit={job.resubmit}")
