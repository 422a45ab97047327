"""A round that never stands still: what is ready is written, and new work is claimed, in one go; nobody waits for the
slowest.

`rounds` does this for runs, which are records of the ledger; a stream's pieces are small and many, so that its round
trips are what counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

LIFE = 10.0
"""Seconds for which a stream claims anew: a worker that is told to stop waits for it."""
BEAT = 5.0
"""Seconds after which a stream asks for more even where nothing is ready: what it holds stays its own, and slow pieces
hold up no others.
"""
LINGERING = (0.02, 0.04, 0.08, 0.16, 0.2)
"""Pauses after which a stream that has nothing left asks once more, before it ends: beginning anew, with new
connections, costs more.
"""
WRITTEN_AT_ONCE = 8 * 1024 * 1024
"""Characters in one write, so that a few big bodies neither hold the ledger up nor fill the worker's memory twice."""

P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stream(Generic[P, T]):
    """What a stream needs: `act(piece)`, `exchange(pieces with outcomes, limit)`, which writes these and claims others
    (it blocks), how big an outcome is (characters), how many pieces are under way at once, when it asks for more of
    itself (seconds), and whether this process is to stop: then it asks for no more."""

    act: Callable[[P], Awaitable[T]]
    exchange: Callable[[Sequence[tuple[P, T]], int], Sequence[P]]
    weigh: Callable[[T], int]
    size: int
    beat: float = BEAT
    lingering: Sequence[float] = LINGERING
    stopping: Callable[[], bool] = lambda: False

    async def run(self, first: Sequence[P]) -> int:
        """Work off `first`, and more while there is some; how many pieces it were. Raises what `act` and `exchange`
        raise.
        """
        loop = asyncio.get_running_loop()
        until, count, under_way = loop.time() + LIFE, 0, 0
        ready: list[tuple[P, T]] = []
        news = asyncio.Event()

        async def one(piece: P) -> None:
            ready.append((piece, await self.act(piece)))
            news.set()

        async with asyncio.TaskGroup() as group:
            fresh, pauses = first, iter(self.lingering)
            while True:
                for piece in fresh:
                    group.create_task(one(piece))
                count, under_way = count + len(fresh), under_way + len(fresh)
                if under_way:
                    pauses = iter(self.lingering)
                    # Not `wait_for`: of Python 3.11 it may swallow the cancellation by which the group ends when a
                    # piece has broken.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self.beat):
                            await news.wait()
                elif self._goes_on(until) and (pause := next(pauses, None)):
                    await asyncio.sleep(pause)
                else:
                    return count
                news.clear()
                written = ready[: self._few(ready)]
                del ready[: len(written)]
                if ready:
                    news.set()
                under_way -= len(written)
                limit = self.size - under_way - len(ready) if self._goes_on(until) else 0
                fresh = await asyncio.to_thread(self.exchange, written, max(limit, 0))

    def _goes_on(self, until: float) -> bool:
        return asyncio.get_running_loop().time() < until and not self.stopping()

    def _few(self, ready: Sequence[tuple[P, T]]) -> int:
        weight = 0
        for number, (_, outcome) in enumerate(ready, start=1):
            weight += self.weigh(outcome)
            if weight >= WRITTEN_AT_ONCE:
                return number
        return len(ready)
