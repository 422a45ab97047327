"""The ledger's verbs for jobs. One verb for each transition; nothing else writes a job's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from redis import Redis
from redis.exceptions import ResponseError

from longhaul.jobs.arguments import NewJob
from longhaul.jobs.decider import Decision, Finish, Resend
from longhaul.jobs.envelope import end_state, envelope
from longhaul.jobs.job import COUNTED, TRANSITIONS, VERSIONS, Job, JobStep, read_row, repair_for_cancel
from longhaul.ledger.due import Clock, Due, HighWater, NewRecord, Row, Written
from longhaul.ledger.lua import ScriptCall
from longhaul.ledger.quarantine import Crash, describe_crash
from longhaul.ledger.results import PREFIX, stream
from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze
from longhaul.work.item import State, lane
from longhaul.work.store import Family, FamilyKind, FamilyLimits, MakeTaskResult

SPACE = "longhaul:{jobs}"
SUBJECT, OPTIONS = "subject", "options"
CHUNK = 500


@dataclass(frozen=True, slots=True)
class JobLimits(FamilyLimits):
    """The store's numbers, in seconds and counts; see `config.settings`."""

    batch_size: int = 200
    deadline: float = 72 * 3600.0
    high_entries: int = 100_000
    high_bytes: int = 1024**3


@dataclass(frozen=True, slots=True)
class ClaimedJobs:
    """A batch of jobs under a lease. `now`: the ledger's time at the claim; `probe`: its account's pause is over, and
    this one goes ahead; `unread`: records that were claimed, too, but cannot be read.
    """

    now: float
    jobs: list[Job]
    more: bool
    probe: bool = False
    unread: list[Crash] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AppliedJob:
    """What became of one decision at `now`; `document` is the envelope where it was an end, `fault` says why it was
    `refused`.
    """

    job: Job
    decision: Decision
    written: Written | Literal["refused"]
    now: float
    document: Json | None = None
    fault: str = ""


class JobStore(Family[Job, JobStep]):
    """Jobs in the ledger at `redis`. `noting` makes the note that an end leaves; `clock` replaces the ledger's time in
    tests.
    """

    def __init__(
        self, redis: Redis, limits: JobLimits, noting: MakeTaskResult | None = None, clock: Clock | None = None
    ) -> None:
        self.limits = limits
        due = Due(redis, SPACE, TRANSITIONS, blobs=(SUBJECT, OPTIONS), clock=clock, versions=VERSIONS)
        super().__init__(
            due,
            limits,
            FamilyKind("job", JobStep, JobStep.CANCEL, read_row, size=limits.batch_size, open=limits.batch_size),
        )
        self._noting = noting
        self._high_water = HighWater(entries=limits.high_entries, bytes=limits.high_bytes, queues=PREFIX)

    def submit(self, submissions: Sequence[tuple[str, NewJob]], *, tracked: bool) -> int:
        """Record jobs under their ids, queued and due now; returns how many were not there yet. 500 a round trip."""
        fresh = 0
        for at in range(0, len(submissions), CHUNK):
            fresh += sum(
                self._due.create(
                    [_record(id_, wanted, tracked=tracked) for id_, wanted in submissions[at : at + CHUNK]]
                )
            )
        return fresh

    def claim(self, step: JobStep, account: str, token: str = "") -> ClaimedJobs:
        """Take due jobs of one step and account, oldest first; of a paused account at most a probe."""
        polling, sending = step is JobStep.POLL, step is JobStep.SEND
        claim = self._due.claim(
            lane(step, account),
            limit=self.limits.batch_size,
            lease=self.limits.lease,
            # Counted before the call goes out: whatever happens then, the remote may have been asked.
            count=COUNTED[step],
            cancelled_lane="" if step is JobStep.CANCEL else lane(JobStep.CANCEL, account),
            step=step,
            token=token,
            deadline=self.limits.deadline,
            high_water=self._high_water if polling else None,
            allowed=self._limit(step, account),
            blobs=(SUBJECT, OPTIONS) if sending else (SUBJECT,),
        )
        claimed = ClaimedJobs(claim.now, [], claim.more, claim.probe)
        for row in claim.rows:
            try:
                claimed.jobs.append(_read(step, row, claim.pauses, claim.now))
            except CorruptRecord as error:
                claimed.unread.append(Crash(row.id, row.fields.get("fence", "0"), str(error), COUNTED[step]))
        return claimed

    def apply(self, step: JobStep, decided: Sequence[tuple[Job, Decision]], now: float) -> list[AppliedJob]:
        """Write what was decided, in one round trip; each atomic and fenced for itself. One that fails keeps none of
        the others back.
        """
        calls: list[ScriptCall] = []
        made: list[tuple[Job, Decision, Json | None]] = []
        applied: list[AppliedJob] = []
        for job, decision in decided:
            try:
                call, document = self._call(step, job, decision, now)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is this job's fault)
                applied.append(
                    AppliedJob(job, decision, "refused", now, fault=describe_crash("making its envelope", error))
                )
                continue
            calls.append(call)
            made.append((job, decision, document))
        for (job, decision, document), what in zip(made, self._due.write_each(calls), strict=True):
            if isinstance(what, ResponseError):
                applied.append(AppliedJob(job, decision, "refused", now, fault=f"writing: {type(what).__name__}"))
            else:
                applied.append(AppliedJob(job, decision, what, now, document))
        for (step_, account), (job, hold) in _pauses(step, decided).items():
            self._due.pause(lane(step_, account), hold.until, hold.reason, job.pauses)
        return applied

    def is_full(self, queue: str) -> bool:
        """Whether a results queue is above its high-water mark."""
        return self._due.is_full(self._high_water, queue)

    def _call(self, step: JobStep, job: Job, decision: Decision, now: float) -> tuple[ScriptCall, Json | None]:
        match decision:
            case Sent(remote_id, due):
                fields = {"remote": remote_id, "sent": f"{now:.3f}"}
                return self._move(job, State.RUNNING, JobStep.POLL, due, fields), None
            case Snooze(due, alive):
                # Kept for 24 hours from here at least, for here it was not finished: see the claim's back-pressure.
                polled = {"polled": f"{now:.3f}"} if alive else {}
                # Where the remote took nothing, the claim's count is taken back.
                return self._move(
                    job, job.state, step, due, polled, {"submissions": -1} if step is JobStep.SEND else {}
                ), None
            case Retry(due, _):
                return self._move(job, job.state, step, due, {}, {"attempts": 1}), None
            case Resend():
                return self._move(
                    job, State.QUEUED, JobStep.SEND, now, {"remote": "", "sent": "", "polled": ""}, {"losses": 1}
                ), None
            case Pause():
                # Due since its creation: when the pause ends, the oldest go first.
                refused = {"submissions": -1} if step is JobStep.SEND else {}
                return self._move(job, job.state, step, job.created, {}, refused), None
            case Finish() | Fail() | Expire() | Cancel():
                return self._end(step, job, decision, now)
            case _:
                assert_never(decision)

    def _move(
        self,
        job: Job,
        state: State,
        step: JobStep,
        due: float,
        fields: dict[str, str],
        add: dict[str, int] | None = None,
    ) -> ScriptCall:
        return self._due.moving(
            job.id,
            job.fence,
            state,
            lane(step, job.account),
            due,
            cancelled_lane=lane(JobStep.CANCEL, job.account),
            set_fields=fields,
            add=add,
        )

    def _end(
        self, step: JobStep, job: Job, decision: Finish | Fail | Expire | Cancel, now: float
    ) -> tuple[ScriptCall, Json]:
        if step is JobStep.SEND and not (isinstance(decision, Fail) and decision.attempts):
            # Rejected, or never asked: the remote took nothing, so the claim's count is taken back.
            job = replace(job, submissions=job.submissions - 1)
        document = envelope(job, decision, now)
        call = self._due.finishing(
            job.id,
            job.fence,
            end_state(decision),
            keep=self.limits.keep_ended,
            stream=stream(job.queue),
            envelope=dump_json(document),
            note=self._noting(job.id, document) if self._noting and job.tracked else None,
            forget=(SUBJECT, OPTIONS),
        )
        return call, document


def _read(step: JobStep, row: Row, pauses: int, now: float) -> Job:
    try:
        return read_row(row, pauses)
    except CorruptRecord:
        # It is to end, in whatever shape it is.
        if step is JobStep.CANCEL:
            return repair_for_cancel(row, pauses, now)
        raise


def _record(job_id: str, wanted: NewJob, *, tracked: bool) -> NewRecord:
    request = wanted.request
    subject: Json = {"url": request.url}
    if wanted.meta is not None:
        subject["meta"] = wanted.meta
    options: Json = {}
    if request.method != "GET":
        options["method"] = request.method
    if request.headers:
        options["headers"] = request.headers
    if request.body is not None:
        options["body"] = request.body
    if request.api_params:
        options["api_params"] = request.api_params
    if request.timeout_sec is not None:
        options["timeout_sec"] = request.timeout_sec
    fields: dict[str, str | int] = {"queue": wanted.queue, "resubmit": wanted.resubmit}
    if tracked:
        fields["tracked"] = 1
    if wanted.callback:
        fields["callback"] = wanted.callback
    blobs = {SUBJECT: dump_json(subject).decode()}
    if options:
        blobs[OPTIONS] = dump_json(options).decode()
    return NewRecord(job_id, State.QUEUED, lane(JobStep.SEND, wanted.account), fields, blobs)


def _pauses(step: JobStep, decided: Sequence[tuple[Job, Decision]]) -> dict[tuple[JobStep, str], tuple[Job, Pause]]:
    """The longest hold of each account in a batch."""
    longest: dict[tuple[JobStep, str], tuple[Job, Pause]] = {}
    for job, decision in decided:
        if isinstance(decision, Pause):
            known = longest.get((step, job.account))
            if known is None or known[1].until < decision.until:
                longest[step, job.account] = (job, decision)
    return longest
