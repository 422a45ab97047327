"""One family of work in the ledger, jobs or crawls: what both do alike. The verbs of their own are in `jobs.store` and `crawls.store`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import uuid4

from jobs.allowance import NO_LIMIT, Allowance
from jobs.job import ENDS, State, lane, state_of
from ledger.aside import TRIES, Aside, Stumble
from ledger.audit import Audit, audit
from ledger.due import Books, Due, Row
from ledger.limit import Limit

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Step = TypeVar("Step", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers of a family: the lease of a claim and how long what has ended is kept, in seconds; the most batches of a step at once; what
    each account may ask.
    """

    lease: float = 120.0
    max_batches: int = 32
    keep_ended: int = 24 * 3600
    accounts: Mapping[str, Allowance] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Item, Step]):
    """What tells one family from the other: the `noun` for its items, its `steps`, the one that cancels, how a record is read.

    `size`: due records for each batch that is started; `open`: requests that a batch has open at once.
    """

    noun: str
    steps: type[Step]
    cancelling: Step
    read: Callable[[Row], Item]
    size: int
    open: int


class Family(Generic[Item, Step]):
    """The items of one kind in the ledger."""

    def __init__(self, due: Due, bounds: Bounds, kind: Kind[Item, Step]) -> None:
        self._due, self._bounds, self._kind = due, bounds, kind
        self.aside = Aside(due)

    def get(self, id_: str) -> Item | None:
        """The item, or None where the ledger does not know it (any more); raises `Unreadable`."""
        row = self._due.get(id_)
        return self._kind.read(row) if row else None

    def state(self, id_: str) -> State | None:
        """The item's state, also where the rest of it can't be read; None where the ledger does not know it (any more)."""
        row = self._due.get(id_)
        return state_of(row.fields) if row else None

    def cancel(self, id_: str) -> tuple[str, str]:
        """Mark an item as cancelled. Returns (what became of it, its account): `marked`, `missing`, or the state it has ended in."""
        row = self._due.get(id_)
        if row is None:
            return "missing", ""
        # Also where it can't be read: an account is all that is needed, and somebody wants to be rid of it.
        account = row.fields.get("lane", "").partition(":")[2] or row.fields.get("account", "")
        return self._due.cancel(id_, lane(self._kind.cancelling, account), state_of(row.fields)), account

    def stumble(self, step: Step, account: str, stumbles: Sequence[Stumble]) -> list[Stumble]:
        """Count items that made this step raise; returns those that are set aside for it now."""
        noun = self._kind.noun
        for one in stumbles:
            log.warning("%s %s stumbled in %s: %s", noun, one.id, step, one.words)
        aside = self.aside.stumble(lane(step, account), lane(self._kind.cancelling, account), stumbles)
        for one in aside:
            log.error("%s %s is set aside after %d tries in %s: %s; see `longhaul status`", noun, one.id, TRIES, step, one.words)
        return aside

    def dispatch(self, step: Step) -> list[tuple[str, str]]:
        """(account, token) of each batch to start now. Every lane counts, also one whose account has gone from the settings."""
        lanes = [name for name in self._due.lanes() if name.startswith(f"{step}:")]
        limits = {name: self._limit(step, name.partition(":")[2]) for name in lanes}
        most, lease = self._bounds.max_batches, self._bounds.lease
        started = self._due.dispatch(step, lanes, size=self._kind.size, most=most, lease=lease, limits=limits)
        return [(name.partition(":")[2], token) for name, token in started]

    def token(self, step: Step, account: str) -> str:
        """A token for a batch that the dispatcher has not started, where the account's batches are counted; else none."""
        return f"{lane(step, account)}#{uuid4().hex}" if self._limit(step, account).batches else ""

    def leave(self, step: Step, token: str) -> None:
        """Give a batch's token back, so that another may start."""
        self._due.leave(step, token)

    def resume(self, step: Step, account: str) -> None:
        """End the pause of an account's step."""
        self._due.resume(lane(step, account))

    def ticked(self) -> float | None:
        """When the due loop last came round, by the ledger's time; None where it never has."""
        return self._due.ticked()

    def books(self) -> Books:
        """Counters and lanes at one moment; see `jobs.balance`."""
        return self._due.books()

    def audit(self) -> Audit:
        """A walk over all records, which names what is wrong with which."""
        return audit(self._due, [state for state in State if state not in ENDS])

    def now(self) -> float:
        """The ledger's time, epoch seconds."""
        return self._due.now()

    def _limit(self, step: Step, account: str) -> Limit:
        allowance = self._bounds.accounts.get(account, NO_LIMIT)
        return allowance.of_lane(lane(step, account), account, [lane(one, account) for one in self._kind.steps], self._kind.open)
