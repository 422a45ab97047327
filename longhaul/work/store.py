"""One family of work in the ledger, jobs or crawls: the verbs that both have. Those of their own are in
`longhaul.jobs.store` and `longhaul.crawls.store`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic
from uuid import uuid4

from redis.exceptions import ResponseError

from longhaul.ledger.audit import Audit, audit
from longhaul.ledger.due import Books, Claim, Due, StoredResult
from longhaul.ledger.lane_limit import LaneLimit
from longhaul.ledger.lua import ScriptCall
from longhaul.ledger.quarantine import TRIES, Crash, Quarantine, describe_crash
from longhaul.scraperapi.models import Json
from longhaul.work.account_limits import NO_LIMIT
from longhaul.work.batch import Applied, ClaimedBatch, DecisionT, ItemT, StepT
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Pause, Retry, Sent, Snooze
from longhaul.work.family import FamilyKind, FamilyLimits
from longhaul.work.item import ENDS, State, lane, state_of

log = logging.getLogger(__name__)

MakeTaskResult = Callable[[str, Json], StoredResult]
"""Makes the task result that is stored with the envelope: see `tasks.plumbing.task_results`."""


class Family(ABC, Generic[ItemT, StepT, DecisionT]):
    """The items of one kind in the ledger."""

    limits: FamilyLimits

    def __init__(self, due: Due, kind: FamilyKind[ItemT, StepT]) -> None:
        self._due, self._kind = due, kind
        self.quarantine = Quarantine(due)

    @property
    def name(self) -> str:
        """`jobs` or `crawls`."""
        return self._kind.name

    @property
    def noun(self) -> str:
        """`job` or `crawl`."""
        return self._kind.noun

    @property
    def steps(self) -> type[StepT]:
        """The steps of the family's items."""
        return self._kind.steps

    @property
    def cancelling(self) -> StepT:
        """The step that cancels."""
        return self._kind.cancelling

    def get(self, id_: str) -> ItemT | None:
        """The item, or None where the ledger does not know it (any more); raises `CorruptRecord`."""
        row = self._due.get(id_)
        return self._kind.records.read(row) if row else None

    def state(self, id_: str) -> State | None:
        """The item's state, also of a corrupt record; None where the ledger does not know it (any more)."""
        row = self._due.get(id_)
        return state_of(row.fields) if row else None

    def claim(self, step: StepT, account: str, token: str = "") -> ClaimedBatch[ItemT]:
        """Take due items of one step and account under a lease, oldest first; of a paused account at most a probe."""
        claim = self._claim(step, account, token)
        claimed: ClaimedBatch[ItemT] = ClaimedBatch(claim.now, [], claim.more, claim.probe)
        records = self._kind.records
        for row in claim.rows:
            try:
                claimed.items.append(records.read(row, claim.pauses))
            except CorruptRecord as error:
                if step is self._kind.cancelling:
                    # It is to end, in whatever shape it is.
                    claimed.items.append(records.repair_for_cancel(row, claim.pauses, claim.now))
                else:
                    fence = row.fields.get("fence", "0")
                    claimed.unread.append(Crash(row.id, fence, str(error), self._kind.counted[step]))
        return claimed

    def apply(
        self, step: StepT, decided: Sequence[tuple[ItemT, DecisionT]], now: float
    ) -> list[Applied[ItemT, DecisionT]]:
        """Write what was decided, in one round trip; each atomic and fenced for itself. One that fails keeps none of
        the others back.
        """
        calls: list[ScriptCall] = []
        made: list[tuple[ItemT, DecisionT, Json | None]] = []
        applied: list[Applied[ItemT, DecisionT]] = []
        for item, decision in decided:
            try:
                call, document = self._call(step, item, decision, now)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is this item's fault)
                fault = describe_crash("making its envelope", error)
                applied.append(Applied(item, decision, "refused", now, fault=fault))
                continue
            calls.append(call)
            made.append((item, decision, document))
        for (item, decision, document), written in zip(made, self._due.write_each(calls), strict=True):
            if isinstance(written, ResponseError):
                fault = f"writing: {type(written).__name__}"
                applied.append(Applied(item, decision, "refused", now, fault=fault))
            else:
                applied.append(Applied(item, decision, written, now, document))
        for account, (item, pause) in _longest_pauses(decided).items():
            self._due.pause(lane(step, account), pause.until, pause.reason, item.pauses)
        return applied

    def is_irreplaceable(self, decision: DecisionT) -> bool:
        """Whether it carries what cannot be had again, so that its write outlasts a ledger that is away."""
        return isinstance(decision, self._kind.irreplaceable)

    @abstractmethod
    def reread(self, applied: Applied[ItemT, DecisionT]) -> ItemT | None:
        """The item as it is now, if a writer with an old fence may still apply this decision to it; else None."""

    def weigh(self, decided: tuple[ItemT, DecisionT]) -> int:  # noqa: ARG002  (for decisions that carry bodies)
        """Bytes of the body that a decision carries, about."""
        return 0

    def cancel(self, id_: str) -> tuple[str, str]:
        """Mark an item as cancelled. Returns (what became of it, its account): `marked`, `missing`, or the state it has
        ended in.
        """
        row = self._due.get(id_)
        if row is None:
            return "missing", ""
        # A corrupt record can be cancelled as well: that needs its account and nothing else.
        account = row.fields.get("lane", "").partition(":")[2] or row.fields.get("account", "")
        return self._due.cancel(id_, lane(self._kind.cancelling, account), state_of(row.fields)), account

    def count_crashes(self, step: StepT, account: str, crashes: Sequence[Crash]) -> list[Crash]:
        """Count items that made this step raise; returns those that are in quarantine for it now."""
        noun = self._kind.noun
        for one in crashes:
            log.warning("%s %s crashed in %s: %s", noun, one.id, step, one.words)
        quarantined = self.quarantine.count_crashes(lane(step, account), lane(self._kind.cancelling, account), crashes)
        for one in quarantined:
            log.error(
                "%s %s is in quarantine after %d crashes in %s: %s; see `longhaul status`",
                noun,
                one.id,
                TRIES,
                step,
                one.words,
            )
        return quarantined

    def dispatch(self, step: StepT) -> list[tuple[str, str]]:
        """(account, token) of each batch to start now. Every lane counts, also one whose account has gone from the
        settings.
        """
        lanes = [name for name in self._due.lanes() if name.startswith(f"{step}:")]
        limits = {name: self._limit(step, name.partition(":")[2]) for name in lanes}
        most, lease = self.limits.max_batches, self.limits.lease
        started = self._due.dispatch(step, lanes, size=self._kind.size, most=most, lease=lease, limits=limits)
        return [(name.partition(":")[2], token) for name, token in started]

    def token(self, step: StepT, account: str) -> str:
        """A token for a batch that the dispatcher has not started, where the account's batches are limited; else ''."""
        return f"{lane(step, account)}#{uuid4().hex}" if self._limit(step, account).batches else ""

    def leave(self, step: StepT, token: str) -> None:
        """Give a batch's token back, so that another may start."""
        self._due.leave(step, token)

    def resume(self, step: StepT, account: str) -> None:
        """End the pause of an account's step."""
        self._due.resume(lane(step, account))

    def ticked(self) -> float | None:
        """When the dispatcher last ran, by the ledger's time; None where it never has."""
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

    @abstractmethod
    def _claim(self, step: StepT, account: str, token: str) -> Claim:
        """Claim rows of one step and account."""

    @abstractmethod
    def _call(self, step: StepT, item: ItemT, decision: DecisionT, now: float) -> tuple[ScriptCall, Json | None]:
        """The script call that writes a decision, and its envelope where it is an end."""

    def _next_action(self, step: StepT, item: ItemT, decision: Sent | Snooze | Retry | Pause, now: float) -> ScriptCall:
        """The call that gives an item its next action."""
        match decision:
            case Sent(remote_id, due):
                fields = {"remote": remote_id, "sent": f"{now:.3f}"}
                return self._move(item, State.RUNNING, self._kind.polling, due, fields)
            case Snooze(due, alive):
                # Not finished yet, so the remote keeps its result for 24 hours from now at least: see `claim.lua`.
                polled = {"polled": f"{now:.3f}"} if alive else {}
                return self._move(item, item.state, step, due, polled, self._refund(step))
            case Retry(due, _):
                return self._move(item, item.state, step, due, {}, {"attempts": 1})
            case Pause():
                # Due since its creation: when the pause ends, the oldest go first.
                return self._move(item, item.state, step, item.created, {}, self._refund(step))

    def _refund(self, step: StepT) -> dict[str, int]:
        """Where the remote took nothing, the claim's count of a submission is taken back."""
        return {"submissions": -1} if step is self._kind.sending else {}

    def _refunded(self, step: StepT, item: ItemT, *, taken: bool) -> ItemT:
        """`item` as its envelope counts it: where the remote has rejected it, or was never asked, the claim's count of
        a submission is taken back. `taken`: the remote has taken it, or may have.
        """
        if step is self._kind.sending and not taken:
            return replace(item, submissions=item.submissions - 1)
        return item

    def _move(
        self,
        item: ItemT,
        state: State,
        step: StepT,
        due: float,
        fields: dict[str, str],
        add: dict[str, int] | None = None,
    ) -> ScriptCall:
        return self._due.moving(
            item.id,
            item.fence,
            state,
            lane(step, item.account),
            due,
            cancelled_lane=lane(self._kind.cancelling, item.account),
            set_fields=fields,
            add=add,
        )

    def _limit(self, step: StepT, account: str) -> LaneLimit:
        allowance = self.limits.accounts.get(account, NO_LIMIT)
        return allowance.of_lane(
            lane(step, account), account, [lane(one, account) for one in self._kind.steps], self._kind.open
        )


def _longest_pauses(decided: Sequence[tuple[ItemT, DecisionT]]) -> dict[str, tuple[ItemT, Pause]]:
    """The longest pause of each account in a batch."""
    longest: dict[str, tuple[ItemT, Pause]] = {}
    for item, decision in decided:
        if isinstance(decision, Pause):
            known = longest.get(item.account)
            if known is None or known[1].until < decision.until:
                longest[item.account] = (item, decision)
    return longest
