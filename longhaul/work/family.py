"""What a family of work is: its limits, and what tells jobs from crawls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic

from longhaul.work.account_limits import AccountLimit
from longhaul.work.batch import ItemT, StepT
from longhaul.work.corrupt_records import RecordReader


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyLimits:
    """The numbers of a family: the lease of a claim, the age at which an item's time is over, and how long what has
    ended is kept, in seconds; the most batches of a step at once; what each account may ask.
    """

    lease: float
    deadline: float
    max_batches: int
    keep_ended: int
    accounts: Mapping[str, AccountLimit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyKind(Generic[ItemT, StepT]):
    """What tells one family from the other: its `name`, the `noun` for its items, its steps, how its records are read.

    `counted`: the field that a step's claim counts up, before the remote is asked. `irreplaceable`: decisions that
    carry what cannot be had again. `size`: due records for each batch that is started; `open`: requests that a batch
    has open at once.
    """

    name: str
    noun: str
    steps: type[StepT]
    sending: StepT
    polling: StepT
    cancelling: StepT
    counted: Mapping[StepT, str]
    records: RecordReader[ItemT]
    irreplaceable: tuple[type, ...]
    size: int
    open: int
