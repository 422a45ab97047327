"""One batch of one step of one account: the hot path of jobs and crawls alike.

    claim     store.claim(step, account)              atomic, leased, fenced
    act       remote.act(step, items)                 the only I/O with the remote, many calls at once
    decide    decider.decide(step, item, seen, now)   pure
    apply     store.apply(step, decided)              one round trip, each write conditional
    report    on_applied(what took effect), for the log and for Flower

Answers are applied as they arrive and do not wait for the slowest: a result that the remote deletes on reading is held
no longer than it takes to parse it. What a remote pushes joins at `decide`: see `pushes` of either family.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from longhaul.ledger.connection import AWAY
from longhaul.ledger.portions import PORTION_BYTES, portions
from longhaul.ledger.quarantine import Crash, describe_crash
from longhaul.work.batch import Applied, BatchReport, ClaimedBatch, DecisionT, ItemT, StepT
from longhaul.work.decisions import Pause, ends_pause
from longhaul.work.durable_write import write_decisions
from longhaul.work.item import Item
from longhaul.work.store import Family

# What a protocol takes only, or gives only, has to be marked so.
ItemT_contra = TypeVar("ItemT_contra", bound=Item, contravariant=True)
StepT_contra = TypeVar("StepT_contra", bound=StrEnum, contravariant=True)
DecisionT_co = TypeVar("DecisionT_co", covariant=True)


class ActsOnRemote(Protocol[ItemT, StepT_contra]):
    """Makes the calls of a step: `longhaul.jobs.remote`, `longhaul.crawls.remote`."""

    def act(
        self, step: StepT_contra, items: Sequence[ItemT], deadline: float, now: float
    ) -> Iterator[list[tuple[ItemT, Any]]]:
        """What was seen of each item, or a `Crash`, in groups, as the answers arrive."""


class Decides(Protocol[ItemT_contra, StepT_contra, DecisionT_co]):
    """Decides what follows: `longhaul.jobs.decider`, `longhaul.crawls.decider`."""

    def decide(self, step: StepT_contra, item: ItemT_contra, seen: Any, now: float) -> DecisionT_co:
        """What follows from what `step` has seen of `item`; pure."""


@dataclass(frozen=True, slots=True)
class BatchRunner(Generic[ItemT, StepT, DecisionT]):
    """`on_applied` gets every write that took effect, after it did.

    `claims_for_seconds`: for how long a batch goes on claiming; 0: it claims once. `portion_bytes`: most bytes of
    bodies in one write.
    """

    store: Family[ItemT, StepT, DecisionT]
    remote: ActsOnRemote[ItemT, StepT]
    decider: Decides[ItemT, StepT, DecisionT]
    on_applied: Callable[[Sequence[Applied[ItemT, DecisionT]]], None]
    claims_for_seconds: float = 0.0
    portion_bytes: int = PORTION_BYTES

    def run(
        self, step: StepT, account: str, token: str = "", stopping: Callable[[], bool] = lambda: False
    ) -> BatchReport[StepT]:
        """Work off what is due; claim no more once `stopping`. Raises only where the ledger does not answer."""
        report = BatchReport(step, account)
        with self._token(report, token) as own:
            for claimed in self._claim(report, own, stopping):
                written: list[Applied[ItemT, DecisionT]] = []
                for answers, now in self._act(report, claimed):
                    decided = self._decide(report, answers, now)
                    written += self._apply(report, decided, now)
                    self._end_pause(report, claimed, answers, decided)
                # Not between the answers: with the broker away this takes seconds, and bodies would wait in memory.
                self.on_applied(written)
        return report

    @contextmanager
    def _token(self, report: BatchReport[StepT], token: str) -> Iterator[str]:
        """The token under which the dispatcher counts this batch; given back, or passed on to the batch after it."""
        own = token or self.store.token(report.step, report.account)
        passed_on = False
        try:
            yield own
            passed_on = report.more and own == token
        finally:
            if own and not passed_on:
                # Where the ledger is away, the token is taken for lost when its lease ends.
                with suppress(*AWAY):
                    self.store.leave(report.step, own)

    def _claim(
        self, report: BatchReport[StepT], token: str, stopping: Callable[[], bool]
    ) -> Iterator[ClaimedBatch[ItemT]]:
        until = time.monotonic() + self.claims_for_seconds
        while True:
            claimed = self.store.claim(report.step, report.account, token)
            report.claimed += len(claimed.items)
            report.more = claimed.more
            self._count_crashes(report, claimed.unread)
            if claimed.items:
                yield claimed
            if not (claimed.items or claimed.unread) or time.monotonic() >= until or stopping():
                return

    def _act(
        self, report: BatchReport[StepT], claimed: ClaimedBatch[ItemT]
    ) -> Iterator[tuple[list[tuple[ItemT, Any]], float]]:
        """Groups of answers, each with the ledger's time, counted on from the claim: this machine's clock may be off."""
        started = time.monotonic()
        for answers in self.remote.act(report.step, claimed.items, self.store.limits.deadline, claimed.now):
            yield answers, claimed.now + time.monotonic() - started

    def _decide(
        self, report: BatchReport[StepT], answers: Sequence[tuple[ItemT, Any]], now: float
    ) -> list[tuple[ItemT, DecisionT]]:
        """What follows for each item; one on which nothing can be decided keeps none of the others back."""
        decide, step = self.decider.decide, report.step
        decided: list[tuple[ItemT, DecisionT]] = []
        crashes: list[Crash] = []
        for item, seen in answers:
            if isinstance(seen, Crash):
                crashes.append(seen)
                continue
            try:
                decided.append((item, decide(step, item, seen, now)))
            except Exception as error:  # noqa: BLE001  (whatever it is, it is this item's fault)
                crashes.append(Crash(item.id, item.fence, describe_crash("deciding", error)))
        self._count_crashes(report, crashes)
        return decided

    def _apply(
        self, report: BatchReport[StepT], decided: Sequence[tuple[ItemT, DecisionT]], now: float
    ) -> list[Applied[ItemT, DecisionT]]:
        """The writes that took effect."""
        effective: list[Applied[ItemT, DecisionT]] = []
        for portion in portions(decided, self.store.weigh, self.portion_bytes):
            written = write_decisions(self.store, report.step, portion, now, outlast_seconds=self.store.limits.lease)
            refused = [applied.crash for applied in written if applied.written == "refused"]
            taken = [applied for applied in written if applied.took_effect]
            report.counts.update(type(applied.decision).__name__.lower() for applied in taken)
            report.late += len(written) - len(taken) - len(refused)
            self._count_crashes(report, refused)
            effective += taken
        return effective

    def _end_pause(
        self,
        report: BatchReport[StepT],
        claimed: ClaimedBatch[ItemT],
        answers: Sequence[tuple[ItemT, Any]],
        decided: Sequence[tuple[ItemT, DecisionT]],
    ) -> None:
        """Where the probe has shown that the account is in order again, the others need not wait for the next tick."""
        if (
            claimed.probe
            and any(ends_pause(seen) for _, seen in answers)
            and not any(isinstance(decision, Pause) for _, decision in decided)
        ):
            self.store.resume(report.step, report.account)
            report.more = True

    def _count_crashes(self, report: BatchReport[StepT], crashes: Sequence[Crash]) -> None:
        if crashes:
            report.crashed += len(crashes)
            self.store.count_crashes(report.step, report.account, crashes)
