"""One family of work in the ledger, jobs or crawls: what both do alike. The verbs of their own are in
`longhaul.jobs.store` and `longhaul.crawls.store`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import uuid4

from longhaul.ledger.audit import Audit, audit
from longhaul.ledger.due import Books, Due, Row, StoredResult
from longhaul.ledger.lane_limit import LaneLimit
from longhaul.ledger.quarantine import TRIES, Crash, Quarantine
from longhaul.scraperapi.models import Json
from longhaul.work.account_limits import NO_LIMIT, AccountLimit
from longhaul.work.item import ENDS, State, lane, state_of

log = logging.getLogger(__name__)

MakeTaskResult = Callable[[str, Json], StoredResult]
"""What is stored beside the envelope for whoever waits for the end: see `tasks.plumbing.task_results`."""

ItemT = TypeVar("ItemT")
StepT = TypeVar("StepT", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class FamilyLimits:
    """The numbers of a family: the lease of a claim and how long what has ended is kept, in seconds; the most batches
    of a step at once; what each account may ask.
    """

    lease: float = 120.0
    max_batches: int = 32
    keep_ended: int = 24 * 3600
    accounts: Mapping[str, AccountLimit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FamilyKind(Generic[ItemT, StepT]):
    """What tells one family from the other: the `noun` for its items, its `steps`, the one that cancels, how a record
    is read.

    `size`: due records for each batch that is started; `open`: requests that a batch has open at once.
    """

    noun: str
    steps: type[StepT]
    cancelling: StepT
    read: Callable[[Row], ItemT]
    size: int
    open: int


class Family(Generic[ItemT, StepT]):
    """The items of one kind in the ledger."""

    def __init__(self, due: Due, bounds: FamilyLimits, kind: FamilyKind[ItemT, StepT]) -> None:
        self._due, self._bounds, self._kind = due, bounds, kind
        self.quarantine = Quarantine(due)

    def get(self, id_: str) -> ItemT | None:
        """The item, or None where the ledger does not know it (any more); raises `Unreadable`."""
        row = self._due.get(id_)
        return self._kind.read(row) if row else None

    def state(self, id_: str) -> State | None:
        """The item's state, also where the rest of it can't be read; None where the ledger does not know it (any more)."""
        row = self._due.get(id_)
        return state_of(row.fields) if row else None

    def cancel(self, id_: str) -> tuple[str, str]:
        """Mark an item as cancelled. Returns (what became of it, its account): `marked`, `missing`, or the state it has
        ended in.
        """
        row = self._due.get(id_)
        if row is None:
            return "missing", ""
        # Also where it can't be read: an account is all that is needed, and somebody wants to be rid of it.
        account = row.fields.get("lane", "").partition(":")[2] or row.fields.get("account", "")
        return self._due.cancel(id_, lane(self._kind.cancelling, account), state_of(row.fields)), account

    def count_crashes(self, step: StepT, account: str, crashes: Sequence[Crash]) -> list[Crash]:
        """Count items that made this step raise; returns those that are set aside for it now."""
        noun = self._kind.noun
        for one in crashes:
            log.warning("%s %s stumbled in %s: %s", noun, one.id, step, one.words)
        aside = self.quarantine.count_crashes(lane(step, account), lane(self._kind.cancelling, account), crashes)
        for one in aside:
            log.error(
                "%s %s is set aside after %d tries in %s: %s; see `longhaul status`",
                noun,
                one.id,
                TRIES,
                step,
                one.words,
            )
        return aside

    def dispatch(self, step: StepT) -> list[tuple[str, str]]:
        """(account, token) of each batch to start now. Every lane counts, also one whose account has gone from the
        settings.
        """
        lanes = [name for name in self._due.lanes() if name.startswith(f"{step}:")]
        limits = {name: self._limit(step, name.partition(":")[2]) for name in lanes}
        most, lease = self._bounds.max_batches, self._bounds.lease
        started = self._due.dispatch(step, lanes, size=self._kind.size, most=most, lease=lease, limits=limits)
        return [(name.partition(":")[2], token) for name, token in started]

    def token(self, step: StepT, account: str) -> str:
        """A token for a batch that the dispatcher has not started, where the account's batches are counted; else none."""
        return f"{lane(step, account)}#{uuid4().hex}" if self._limit(step, account).batches else ""

    def leave(self, step: StepT, token: str) -> None:
        """Give a batch's token back, so that another may start."""
        self._due.leave(step, token)

    def resume(self, step: StepT, account: str) -> None:
        """End the pause of an account's step."""
        self._due.resume(lane(step, account))

    def ticked(self) -> float | None:
        """When the due loop last came round, by the ledger's time; None where it never has."""
        return self._due.ticked()

    def books(self) -> Books:
        """Counters and lanes at one moment; see `longhaul.work.balance`."""
        return self._due.books()

    def audit(self) -> Audit:
        """A walk over all records, which names what is wrong with which."""
        return audit(self._due, [state for state in State if state not in ENDS])

    def now(self) -> float:
        """The ledger's time, epoch seconds."""
        return self._due.now()

    def _limit(self, step: StepT, account: str) -> LaneLimit:
        allowance = self._bounds.accounts.get(account, NO_LIMIT)
        return allowance.of_lane(
            lane(step, account), account, [lane(one, account) for one in self._kind.steps], self._kind.open
        )
