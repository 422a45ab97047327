"""What goes through a batch: what was claimed, what became of each decision, and what the batch reports at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Literal, TypeVar

from longhaul.ledger.quarantine import Crash
from longhaul.ledger.records import Written
from longhaul.scraperapi.models import Json
from longhaul.work.item import Item

ItemT = TypeVar("ItemT", bound=Item)
StepT = TypeVar("StepT", bound=StrEnum)
DecisionT = TypeVar("DecisionT")


@dataclass(frozen=True, slots=True)
class ClaimedBatch(Generic[ItemT]):
    """Items under a lease. `now`: the ledger's time at the claim, epoch seconds; `more`: there is more to claim;
    `probe`: the account's pause is over and this item goes ahead of the others; `unread`: records that were claimed as
    well and cannot be read.
    """

    now: float
    items: list[ItemT]
    more: bool
    probe: bool = False
    unread: list[Crash] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Applied(Generic[ItemT, DecisionT]):
    """What became of one decision at `now` (epoch seconds). `document`: the envelope, where it was an end; `fault`: why
    it was `refused`.
    """

    item: ItemT
    decision: DecisionT
    written: Written | Literal["refused"]
    now: float
    document: Json | None = None
    fault: str = ""

    @property
    def took_effect(self) -> bool:
        """Whether the ledger has taken it."""
        return self.written in {"moved", "finished"}

    @property
    def crash(self) -> Crash:
        """What is counted where it was `refused`."""
        return Crash(self.item.id, self.item.fence, self.fault)


@dataclass(slots=True)
class BatchReport(Generic[StepT]):
    """What a batch did. `counts`: how often each decision was written; `late`: writes that came too late; `crashed`:
    items that made the step raise; `more`: it left due work behind.
    """

    step: StepT
    account: str
    claimed: int = 0
    more: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    late: int = 0
    crashed: int = 0
