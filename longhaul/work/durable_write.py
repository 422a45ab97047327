"""Write decisions so that no result is lost: not to a restart of the ledger, and not to an old fence."""

from __future__ import annotations

import time
from collections.abc import Sequence

from longhaul.ledger.connection import AWAY
from longhaul.work.batch import Applied, DecisionT, ItemT, StepT
from longhaul.work.store import Family

REWRITES = 20
RETRY_SECONDS = 0.5


def write_decisions(
    store: Family[ItemT, StepT, DecisionT],
    step: StepT,
    decided: Sequence[tuple[ItemT, DecisionT]],
    now: float,
    outlast_seconds: float = 0.0,
) -> list[Applied[ItemT, DecisionT]]:
    """Apply `decided` in one round trip. A writer with an old fence and an irreplaceable decision writes again.

    Where the ledger is away and one of the decisions is irreplaceable, the write is retried for `outlast_seconds`;
    otherwise it raises. Every write may run twice.
    """
    written = _outlast(store, step, decided, now, outlast_seconds)
    return [_rewrite(store, step, applied, now) if applied.written == "stale" else applied for applied in written]


def _outlast(
    store: Family[ItemT, StepT, DecisionT],
    step: StepT,
    decided: Sequence[tuple[ItemT, DecisionT]],
    now: float,
    seconds: float,
) -> list[Applied[ItemT, DecisionT]]:
    until = time.monotonic() + seconds
    while True:
        try:
            return store.apply(step, decided, now)
        except AWAY:
            if time.monotonic() > until or not any(store.is_irreplaceable(decision) for _, decision in decided):
                raise
            time.sleep(RETRY_SECONDS)


def _rewrite(
    store: Family[ItemT, StepT, DecisionT], step: StepT, applied: Applied[ItemT, DecisionT], now: float
) -> Applied[ItemT, DecisionT]:
    """Read the record again and write to it as it is now, if the family allows that to a writer with an old fence."""
    for _ in range(REWRITES):
        item = store.reread(applied) if applied.written == "stale" else None
        if item is None:
            break
        (applied,) = store.apply(step, [(item, applied.decision)], now)
    return applied
