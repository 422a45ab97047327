"""What a job and a crawl have in common: their states, and the fields that both records carry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from longhaul.scraperapi.models import Json


class State(StrEnum):
    """Where a job is. The last four are ends: exactly one envelope each."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


ENDS = frozenset({State.FINISHED, State.FAILED, State.EXPIRED, State.CANCELLED})


def transitions(*, back_to_queue: bool) -> dict[State, frozenset[State]]:
    """The states that can follow each state. `back_to_queue`: what the remote has lost is submitted again."""
    return {
        # Straight to an end, too, where the remote pushes the result of a submission whose answer was lost.
        State.QUEUED: ENDS | {State.RUNNING},
        State.RUNNING: ENDS | ({State.QUEUED} if back_to_queue else frozenset()),
        **{end: frozenset() for end in ENDS},
    }


def lane(step: StrEnum, account: str) -> str:
    """The lane of `step` for `account`."""
    return f"{step}:{account}"


def state_of(fields: dict[str, str]) -> State:
    """The state of a record, or, where that is none, what its other fields say: what the remote has is running."""
    try:
        return State(fields.get("state", ""))
    except ValueError:
        return State.RUNNING if fields.get("remote") else State.QUEUED


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that the remote does for an account, as claimed or read. Times are epoch seconds of the ledger.

    `attempts` counts failures, `polls` the times that the remote was asked for it, `submissions` the times that the
    remote took it or may have taken it. `tracked`: somebody may wait for `AsyncResult(id)`. `pauses`: how often in a
    row its account was paused. `callback`: the address at which the remote can reach the receiver, empty where it is
    only polled.
    """

    id: str
    state: State
    fence: int
    account: str
    queue: str
    meta: Json | None
    created: float
    tracked: bool = False
    callback: str = ""
    remote_id: str | None = None
    sent: float | None = None
    polls: int = 0
    attempts: int = 0
    submissions: int = 0
    cancelled: bool = False
    pauses: int = 0
