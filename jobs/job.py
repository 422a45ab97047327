"""A job: its states, the table of its transitions, and its record as a frozen type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ledger.due import Row
from scraperapi.models import Json, ScrapeRequest


class State(StrEnum):
    """Where a job is. The last four are ends: exactly one envelope each."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


ENDS = frozenset({State.FINISHED, State.FAILED, State.EXPIRED, State.CANCELLED})

TRANSITIONS: dict[State, frozenset[State]] = {
    # Straight to `finished` where the remote pushes the result of a submission whose answer was lost.
    State.QUEUED: ENDS | {State.RUNNING},
    # Back to `queued` where the remote has lost the job.
    State.RUNNING: ENDS | {State.QUEUED},
    **{end: frozenset() for end in ENDS},
}


class Step(StrEnum):
    """What a job's next action is; its lane in the due index is `<step>:<account>`."""

    SEND = "send"
    POLL = "poll"
    CANCEL = "cancel"


def lane(step: Step, account: str) -> str:
    """The lane of `step` for `account`."""
    return f"{step}:{account}"


@dataclass(frozen=True, slots=True)
class Job:
    """One job as claimed or read. Times are epoch seconds of the ledger.

    `attempts` counts failures, `polls` looks, `submissions` the times that the remote took the job or may have taken it, `losses` the
    times that it lost it. `watched`: somebody may wait for `AsyncResult(id)`. `pauses`: how often in a row its account was paused.
    `callback`: the address at which the remote can reach the receiver, empty where the job is only polled.
    """

    id: str
    state: State
    fence: int
    account: str
    queue: str
    request: ScrapeRequest
    meta: Json | None
    resubmit: int
    created: float
    watched: bool = False
    callback: str = ""
    remote_id: str | None = None
    sent: float | None = None
    polls: int = 0
    attempts: int = 0
    submissions: int = 0
    losses: int = 0
    cancelled: bool = False
    pauses: int = 0


def read_row(row: Row, pauses: int = 0) -> Job:
    """The job in a row of the ledger. An ended job has lost its request; its `url` is empty."""
    fields = row.fields
    subject: dict[str, Any] = json.loads(row.blobs.get("subject") or "{}")
    options: dict[str, Any] = json.loads(row.blobs["options"]) if row.blobs.get("options") else {}
    sent = fields.get("sent")
    return Job(
        id=row.id,
        state=State(fields["state"]),
        fence=int(fields.get("fence", 0)),
        account=fields["lane"].partition(":")[2],
        queue=fields["queue"],
        request=ScrapeRequest(url=subject.get("url", ""), **options),
        meta=subject.get("meta"),
        resubmit=int(fields.get("resubmit", 1)),
        created=float(fields["created"]),
        watched="watched" in fields,
        callback=fields.get("callback", ""),
        remote_id=fields.get("remote") or None,
        sent=float(sent) if sent else None,
        polls=int(fields.get("polls", 0)),
        attempts=int(fields.get("attempts", 0)),
        submissions=int(fields.get("submissions", 0)),
        losses=int(fields.get("losses", 0)),
        cancelled="cancel" in fields,
        pauses=pauses,
    )
