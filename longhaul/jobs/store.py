"""The ledger's verbs for jobs. One verb for each transition; nothing else writes a job's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from redis import Redis

from longhaul.jobs.arguments import NewJob
from longhaul.jobs.decider import Decision, Finish, Resend
from longhaul.jobs.envelope import end_state, envelope
from longhaul.jobs.job import COUNTED, RECORDS, TRANSITIONS, VERSIONS, Job, JobStep
from longhaul.ledger.due import Claim, Clock, Due, HighWater, NewRecord
from longhaul.ledger.lua import ScriptCall
from longhaul.ledger.results import PREFIX, stream
from longhaul.scraperapi.models import Json, RawJson
from longhaul.scraperapi.protocol import dump_json
from longhaul.work.batch import Applied
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze
from longhaul.work.family import FamilyKind, FamilyLimits
from longhaul.work.item import State, lane
from longhaul.work.store import Family, MakeTaskResult

SPACE = "longhaul:{jobs}"
TARGET, OPTIONS = "target", "options"
RECORDS_A_CALL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits(FamilyLimits):
    """The store's numbers, in seconds and counts; see `config.settings`."""

    batch_size: int
    high_entries: int
    high_bytes: int


class JobStore(Family[Job, JobStep, Decision]):
    """Jobs in the ledger at `redis`. `make_task_result` makes the task result that a job's end leaves; `clock`
    replaces the ledger's time in tests.
    """

    limits: JobLimits

    def __init__(
        self,
        redis: Redis,
        limits: JobLimits,
        make_task_result: MakeTaskResult | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits
        due = Due(redis, SPACE, TRANSITIONS, blobs=(TARGET, OPTIONS), clock=clock, versions=VERSIONS)
        kind = FamilyKind(
            name="jobs",
            noun="job",
            steps=JobStep,
            sending=JobStep.SEND,
            polling=JobStep.POLL,
            cancelling=JobStep.CANCEL,
            counted=COUNTED,
            records=RECORDS,
            # A result that the remote has forgotten on reading, and the id of a job that is paid for.
            irreplaceable=(Sent, Finish, Fail),
            size=limits.batch_size,
            open=limits.batch_size,
        )
        super().__init__(due, kind)
        self._make_task_result = make_task_result
        self._high_water = HighWater(entries=limits.high_entries, bytes=limits.high_bytes, queues=PREFIX)

    def submit(self, submissions: Sequence[tuple[str, NewJob]], *, tracked: bool) -> int:
        """Record jobs under their ids, queued and due now; returns how many were not there yet. 500 a round trip."""
        fresh = 0
        for at in range(0, len(submissions), RECORDS_A_CALL):
            fresh += sum(
                self._due.create(
                    [_record(id_, wanted, tracked=tracked) for id_, wanted in submissions[at : at + RECORDS_A_CALL]]
                )
            )
        return fresh

    def is_full(self, queue: str) -> bool:
        """Whether a results queue is above its high-water mark."""
        return self._due.is_full(self._high_water, queue)

    def reread(self, applied: Applied[Job, Decision]) -> Job | None:
        """A result in hand may be the only copy there is: it ends the job as it is now.

        The failure of the job's present submission is such a result, too; that of a former submission is not.
        """
        if not isinstance(applied.decision, Finish | Fail):
            return None
        try:
            job = self.get(applied.item.id)
        except CorruptRecord:
            # A newer worker has taken it over, and can read it.
            return None
        if job is not None and isinstance(applied.decision, Fail) and job.remote_id != applied.item.remote_id:
            return None
        return job

    def weigh(self, decided: tuple[Job, Decision]) -> int:
        """Bytes of the body that a decision carries, about."""
        _, decision = decided
        if not isinstance(decision, Finish):
            return 0
        body = decision.response.body or decision.response.base64_body
        return len(body.text if isinstance(body, RawJson) else str(body))

    def _claim(self, step: JobStep, account: str, token: str) -> Claim:
        polling, sending = step is JobStep.POLL, step is JobStep.SEND
        return self._due.claim(
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
            blobs=(TARGET, OPTIONS) if sending else (TARGET,),
        )

    def _call(self, step: JobStep, job: Job, decision: Decision, now: float) -> tuple[ScriptCall, Json | None]:
        match decision:
            case Sent() | Snooze() | Retry() | Pause():
                return self._next_action(step, job, decision, now), None
            case Resend():
                forgotten = {"remote": "", "sent": "", "polled": ""}
                return self._move(job, State.QUEUED, JobStep.SEND, now, forgotten, {"losses": 1}), None
            case Finish() | Fail() | Expire() | Cancel():
                return self._end(step, job, decision, now)
            case _:
                assert_never(decision)

    def _end(
        self, step: JobStep, job: Job, decision: Finish | Fail | Expire | Cancel, now: float
    ) -> tuple[ScriptCall, Json]:
        job = self._refunded(step, job, taken=isinstance(decision, Fail) and decision.attempts > 0)
        document = envelope(job, decision, now)
        call = self._due.finishing(
            job.id,
            job.fence,
            end_state(decision),
            keep=self.limits.keep_ended,
            stream=stream(job.queue),
            envelope=dump_json(document),
            note=self._make_task_result(job.id, document) if self._make_task_result and job.tracked else None,
            forget=(TARGET, OPTIONS),
        )
        return call, document


def _record(job_id: str, wanted: NewJob, *, tracked: bool) -> NewRecord:
    request = wanted.request
    target: Json = {"url": request.url}
    if wanted.meta is not None:
        target["meta"] = wanted.meta
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
    blobs = {TARGET: dump_json(target).decode()}
    if options:
        blobs[OPTIONS] = dump_json(options).decode()
    return NewRecord(job_id, State.QUEUED, lane(JobStep.SEND, wanted.account), fields, blobs)
