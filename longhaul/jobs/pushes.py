"""Results that the remote pushes. They join the flow at `decide`: whichever of push and poll comes first ends the job,
the other changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from longhaul.jobs.decider import Decision, Finish, JobDecider
from longhaul.jobs.job import Job, JobStep
from longhaul.jobs.store import JobStore
from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import read_job
from longhaul.work.batch import Applied
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Fail
from longhaul.work.durable_write import write_decisions
from longhaul.work.item import ENDS


class PushOutcome(StrEnum):
    """What became of a push. `later`: its results queue is full, or its record cannot be read, so the body stays with
    the remote.
    """

    TAKEN = "taken"
    UNKNOWN = "unknown"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class JobPushes:
    """Takes what is pushed for jobs. `on_applied` gets every write that took effect, after it did."""

    store: JobStore
    decider: JobDecider
    on_applied: Callable[[Sequence[Applied[Job, Decision]]], None]

    def take(self, job_id: str, document: Json) -> PushOutcome:
        """Take the document of a job; one that has ended already stays as it is."""
        try:
            job = self.store.get(job_id)
        except CorruptRecord:
            # Its next poll counts the crash.
            return PushOutcome.LATER
        if job is None:
            return PushOutcome.UNKNOWN
        now = self.store.now()
        decision = self.decider.after_poll(job, read_job(document), now)
        if not isinstance(decision, Finish | Fail) or job.state in ENDS:
            return PushOutcome.TAKEN
        if isinstance(decision, Fail) and not _is_present(job, document.get("id")):
            # A former submission's failure says nothing about this one.
            return PushOutcome.TAKEN
        if self.store.is_full(job.queue):
            return PushOutcome.LATER
        self._write(job, decision, now)
        return PushOutcome.TAKEN

    def _write(self, job: Job, decision: Decision, now: float) -> None:
        # No waiting for a ledger that is away: the remote pushes again, and a poll finds the result, too.
        (applied,) = write_decisions(self.store, JobStep.POLL, [(job, decision)], now)
        if applied.written == "refused":
            self.store.count_crashes(JobStep.POLL, job.account, [applied.crash])
        elif applied.took_effect:
            self.on_applied([applied])


def _is_present(job: Job, remote_id: object) -> bool:
    """Whether a pushed document is about the job's present submission; of one whose answer was lost, the id is not
    known.
    """
    return job.remote_id == remote_id if job.remote_id is not None else job.losses == 0
