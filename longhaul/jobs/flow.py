"""The four moves: claim -> act -> decide -> apply. The same for sending, polling and cancelling; a pushed result joins
at `decide`.

    claimed = store.claim(step, account)                      atomic, leased, fenced
    for answers in remote.act(step, claimed.jobs):            the only I/O with the remote, many at once
        decided = [decide(job, seen, now) ...]                pure
        store.apply(step, decided)                            one round trip, each write conditional

Answers are applied as they arrive, whatever has come since the last time, and not when the slowest is there: a result
that the remote forgets on reading is never held longer than it takes to parse it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from longhaul.jobs.decider import Decider, Decision, Finish
from longhaul.jobs.job import Job, JobStep
from longhaul.jobs.remote import Remote
from longhaul.jobs.store import AppliedJob, ClaimedJobs, JobStore
from longhaul.ledger.connection import AWAY
from longhaul.ledger.quarantine import Crash, describe_crash
from longhaul.scraperapi.models import Json, Running, Seen
from longhaul.scraperapi.protocol import read_job
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Fail, Pause, Sent, ends_pause
from longhaul.work.item import ENDS

INSIST = 5
AGAIN = 0.5
HEAVY = 8 * 1024 * 1024

log = logging.getLogger(__name__)
strange: set[str] = set()
"""Statuses that the contract does not know, each logged once by this process."""


class PushOutcome(StrEnum):
    """What became of a push. `later`: its results queue is full, or its record cannot be read, so the body stays with
    the remote.
    """

    TAKEN = "taken"
    UNKNOWN = "unknown"
    LATER = "later"


@dataclass(slots=True)
class BatchReport:
    """What a batch did. `counts`: how often each decision was written, `late` the writes that came too late, `stumbled`
    the jobs that made it raise.
    """

    step: JobStep
    account: str
    claimed: int = 0
    more: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    late: int = 0
    crashed: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """`watch` is told of every write that took effect, after it did: for the log, and for Flower."""

    store: JobStore
    remote: Remote
    decider: Decider
    watch: Callable[[Sequence[AppliedJob]], None]

    def run_batch(self, step: JobStep, account: str, token: str = "") -> BatchReport:
        """One batch of one step: claim, act, decide, apply. Raises only where the ledger does not answer."""
        report = BatchReport(step, account)
        own = token or self.store.token(step, account)
        try:
            claimed = self.store.claim(step, account, own)
            report.claimed, report.more = len(claimed.jobs), claimed.more
            taken = self._act_and_apply(claimed, report)
        except BaseException:
            self._leave(step, own)
            raise
        # The next batch goes on with the token that this one was started with.
        if not report.more or own != token:
            self._leave(step, own)
        # Not between the answers: with the broker away this takes seconds, and bodies would wait in memory.
        self.watch(taken)
        return report

    def take_pushed(self, job_id: str, document: Json) -> PushOutcome:
        """Take a result that the remote pushed; a job that has ended already stays as it is."""
        try:
            job = self.store.get(job_id)
        except CorruptRecord:
            # Its next look counts that.
            return PushOutcome.LATER
        if job is None:
            return PushOutcome.UNKNOWN
        now = self.store.now()
        decision = self.decider.after_poll(job, read_job(document), now)
        if isinstance(decision, Fail) and not _is_present(job, document.get("id")):
            return PushOutcome.TAKEN  # a former submission's failure says nothing about this one
        if isinstance(decision, Finish | Fail) and job.state not in ENDS:
            if self.store.is_full(job.queue):
                return PushOutcome.LATER
            self.watch(
                self._apply(JobStep.POLL, [(job, decision)], now, BatchReport(JobStep.POLL, job.account), patience=0.0)
            )
        return PushOutcome.TAKEN

    def _act_and_apply(self, claimed: ClaimedJobs, report: BatchReport) -> list[AppliedJob]:
        started = time.monotonic()
        taken: list[AppliedJob] = []
        self._count_crashes(report, claimed.unread)
        for answers in self.remote.act(report.step, claimed.jobs, self.store.limits.deadline, claimed.now):
            # The ledger's time, carried on: this machine's clock may be wrong.
            now = claimed.now + time.monotonic() - started
            decided = self._decided(report, answers, now)
            _note_strange([seen for _, seen in answers])
            for portion in _portions(decided):
                taken += self._apply(report.step, portion, now, report, patience=self.store.limits.lease)
            held = any(isinstance(decision, Pause) for _, decision in decided)
            if claimed.probe and not held and any(ends_pause(seen) for _, seen in answers):
                self.store.resume(report.step, report.account)
                # The account is in order again: the others need not wait for the next tick.
                report.more = True
        return taken

    def _decided(
        self, report: BatchReport, answers: Sequence[tuple[Job, Any]], now: float
    ) -> list[tuple[Job, Decision]]:
        """What follows for each job; one on which nothing can be decided keeps none of the others back."""
        decide = self._decide(report.step)
        decided: list[tuple[Job, Decision]] = []
        crashes: list[Crash] = []
        for job, seen in answers:
            if isinstance(seen, Crash):
                crashes.append(seen)
                continue
            try:
                decided.append((job, decide(job, seen, now)))
            except Exception as error:  # noqa: BLE001  (whatever it is, it is this job's fault)
                crashes.append(Crash(job.id, job.fence, describe_crash("deciding", error)))
        self._count_crashes(report, crashes)
        return decided

    def _count_crashes(self, report: BatchReport, crashes: Sequence[Crash]) -> None:
        if crashes:
            report.crashed += len(crashes)
            self.store.count_crashes(report.step, report.account, crashes)

    def _leave(self, step: JobStep, token: str) -> None:
        # Where the ledger is away the token is given up for lost after its lease.
        with suppress(*AWAY):
            self.store.leave(step, token)

    def _apply(
        self,
        step: JobStep,
        decided: Sequence[tuple[Job, Decision]],
        now: float,
        report: BatchReport,
        *,
        patience: float,
    ) -> list[AppliedJob]:
        done = [self._insist(step, applied, now) for applied in self._written(step, decided, now, patience)]
        taken = [applied for applied in done if applied.written in {"moved", "finished"}]
        report.counts.update(type(applied.decision).__name__.lower() for applied in taken)
        refused = [applied for applied in done if applied.written == "refused"]
        self._count_crashes(report, [Crash(applied.job.id, applied.job.fence, applied.fault) for applied in refused])
        report.late += len(done) - len(taken) - len(refused)
        return taken

    def _written(
        self, step: JobStep, decided: Sequence[tuple[Job, Decision]], now: float, patience: float
    ) -> list[AppliedJob]:
        """A result, or a remote's id, outlasts a restart of the ledger: written again for `patience` seconds. Every
        write may run twice.
        """
        until = time.monotonic() + patience
        while True:
            try:
                return self.store.apply(step, decided, now)
            except AWAY:
                if time.monotonic() > until or not any(
                    isinstance(decision, Sent | Finish | Fail) for _, decision in decided
                ):
                    raise
                time.sleep(AGAIN)

    def _insist(self, step: JobStep, applied: AppliedJob, now: float) -> AppliedJob:
        """A result in hand may be the only copy there is: whoever is fenced off with one reads the record again, and
        ends it as it is now.

        A failure that the remote told of its present submission is such a result; one of a former submission is not.
        """
        for _ in range(INSIST):
            if applied.written != "stale" or not isinstance(applied.decision, Finish | Fail):
                break
            try:
                job = self.store.get(applied.job.id)
            except CorruptRecord:
                # Whoever has taken it over, and can read it, sees to it.
                break
            if job is None or (isinstance(applied.decision, Fail) and job.remote_id != applied.job.remote_id):
                break
            (applied,) = self.store.apply(step, [(job, applied.decision)], now)
        return applied

    def _decide(self, step: JobStep) -> Callable[[Job, Any, float], Decision]:
        return {
            JobStep.SEND: self.decider.after_send,
            JobStep.POLL: self.decider.after_poll,
            JobStep.CANCEL: self.decider.after_cancel,
        }[step]


def _is_present(job: Job, remote_id: object) -> bool:
    """Whether a pushed document is about the job's present submission; of one whose answer was lost, the id is not
    known.
    """
    return job.remote_id == remote_id if job.remote_id is not None else job.losses == 0


def _portions(decided: Sequence[tuple[Job, Decision]]) -> Iterator[list[tuple[Job, Decision]]]:
    """Writes of a size that goes through in one go, however big the bodies are."""
    portion: list[tuple[Job, Decision]] = []
    weight = 0
    for job, decision in decided:
        size = len(str(decision.response.body or decision.response.base64_body)) if isinstance(decision, Finish) else 0
        if portion and weight + size > HEAVY:
            yield portion
            portion, weight = [], 0
        portion.append((job, decision))
        weight += size
    if portion:
        yield portion


def _note_strange(answers: Sequence[Seen]) -> None:
    for seen in answers:
        if isinstance(seen, Running) and seen.status != "running" and seen.status not in strange:
            strange.add(seen.status)
            log.warning(
                "the remote answers with an unknown status, taken for a job that still runs: %.80r", seen.status
            )
