"""One round of a batch task: claim, act on all at once, apply what is ready as it comes. Nobody waits for the slowest.

A round keeps itself full: while slow ones are under way it claims more in the place of those that are done, for up to
`REFILL_FOR` seconds. Without that, one slow target in a hundred would decide how many pages a thread fetches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from longhaul.ledger.due import Claim, Row

REFILL_FOR = 20.0
APPLIED_AT_ONCE = 8 * 1024 * 1024
"""Characters of results in one write, so that a few big bodies neither hold the ledger up nor fill the worker's memory
twice.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Round(Generic[T]):
    """What a round needs: `claim(limit)`, `act(row)`, `apply(rows with outcomes)`, how big an outcome is (characters),
    and whether this process is to stop: then it claims no more. `claim` and `apply` block."""

    claim: Callable[[int], Claim]
    act: Callable[[Row], Awaitable[T]]
    apply: Callable[[Sequence[tuple[Row, T]]], None]
    weigh: Callable[[T], int]
    stopping: Callable[[], bool] = lambda: False

    async def run(self, first: Claim, size: int) -> int:
        """Work off the rows of `first`, and more while there are some; returns how many. Raises what `act`, `apply` and
        `claim` raise; then nothing is under way any more.
        """
        loop = asyncio.get_running_loop()
        until, more, count = loop.time() + REFILL_FOR, first.more, len(first.rows)
        under_way = self._start(first.rows)
        try:
            while under_way:
                ready, waiting = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                await self._apply([task.result() for task in ready])
                under_way = set(waiting)
                if more and len(under_way) <= size // 2 and loop.time() < until and not self.stopping():
                    claim = await asyncio.to_thread(self.claim, size - len(under_way))
                    more, count = claim.more, count + len(claim.rows)
                    under_way |= self._start(claim.rows)
        finally:
            # Before whoever called closes their connections.
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        return count

    def _start(self, rows: Sequence[Row]) -> set[asyncio.Task[tuple[Row, T]]]:
        return {asyncio.create_task(self._one(row)) for row in rows}

    async def _one(self, row: Row) -> tuple[Row, T]:
        return row, await self.act(row)

    async def _apply(self, done: list[tuple[Row, T]]) -> None:
        group: list[tuple[Row, T]] = []
        weight = 0
        for row, outcome in done:
            group.append((row, outcome))
            weight += self.weigh(outcome)
            if weight >= APPLIED_AT_ONCE:
                await asyncio.to_thread(self.apply, group)
                group, weight = [], 0
        if group:
            await asyncio.to_thread(self.apply, group)
