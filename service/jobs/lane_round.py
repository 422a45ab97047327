"""One round in a lane of runs: claim, act on all of them at once, settle each when it is done, claim more."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from longhaul.ledger.due import Claim, Row
from service.batch_runner import BatchRunner

CLAIM_SECONDS = 20.0
"""How long a round claims further runs: with a single claim, one slow target would leave most places empty."""

R = TypeVar("R")


def ledger_clock(claim: Claim) -> Callable[[], float]:
    """The ledger's time (epoch seconds) as the claim told it, carried on by this process's own clock."""
    began = time.monotonic()
    return lambda: claim.now + time.monotonic() - began


@dataclass(frozen=True, slots=True)
class LaneRound(Generic[R]):
    """`claim(limit)` and `settle(rows with their results)` block; `act(row)` works on one run, on `size` of them at
    once; `weigh(result)`: bytes of a result; `stopping`: whether this process is to stop.
    """

    claim: Callable[[int], Claim]
    act: Callable[[Row], Awaitable[R]]
    settle: Callable[[Sequence[tuple[Row, R]]], None]
    weigh: Callable[[R], int]
    size: int
    stopping: Callable[[], bool]

    async def run(self, first: Claim) -> int:
        """Work off the runs of `first` and what is claimed afterwards; how many. Raises what the calls raise."""
        return await BatchRunner(
            *(self.act, _Exchange(self.claim, self.settle, self.stopping, first.more), self.weigh),
            size=self.size,
            claim_seconds=CLAIM_SECONDS,
            # A claim is a round trip of its own, so it waits until half of the places are free.
            least_claim=self.size - self.size // 2,
            idle_pauses=(),
            stopping=self.stopping,
        ).run(first.rows)


@dataclass(slots=True)
class _Exchange(Generic[R]):
    """Settles what is done, and claims further runs until a claim says that there are no more."""

    claim: Callable[[int], Claim]
    settle: Callable[[Sequence[tuple[Row, R]]], None]
    stopping: Callable[[], bool]
    more: bool

    def __call__(self, done: Sequence[tuple[Row, R]], limit: int) -> Sequence[Row]:
        if done:
            self.settle(done)
        # Asked once more: settling may have taken long.
        if not limit or not self.more or self.stopping():
            return ()
        claim = self.claim(limit)
        self.more = claim.more
        return claim.rows
