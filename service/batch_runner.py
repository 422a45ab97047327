"""Works off due items, many at once: each exchange with the ledger writes what is done and claims further items.

No item waits for the slowest one: as soon as some are done they are written, and others are claimed in their place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from longhaul.ledger.portions import portions

CLAIM_SECONDS = 10.0
"""How long further items are claimed."""
BEAT_SECONDS = 5.0
"""Pause after which further items are claimed even where none is done: slow items must not keep places empty, and a
claim shows the ledger that the round is alive.
"""
IDLE_PAUSES_SECONDS = (0.02, 0.04, 0.08, 0.16, 0.2)
"""Pauses before another claim where nothing is left. New items often come soon, and a new round, with new connections,
costs more than these claims.
"""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BatchRunner(Generic[T, R]):
    """Runs `act(item)` for up to `size` items at once.

    `exchange(items with their results, limit)` writes these and claims at most `limit` further items; it blocks, so it
    runs in a thread. `weigh(result)`: bytes of a result; heavy ones are written in portions. Items are claimed for
    `claim_seconds`, `least_claim` or more at a time, and not once `stopping()` is true. Where nothing is left, it asks
    once more after each of `idle_pauses` (seconds) before it ends.
    """

    act: Callable[[T], Awaitable[R]]
    exchange: Callable[[Sequence[tuple[T, R]], int], Sequence[T]]
    weigh: Callable[[R], int]
    size: int
    claim_seconds: float = CLAIM_SECONDS
    least_claim: int = 1
    idle_pauses: Sequence[float] = IDLE_PAUSES_SECONDS
    beat_seconds: float = BEAT_SECONDS
    stopping: Callable[[], bool] = lambda: False

    async def run(self, first: Sequence[T]) -> int:
        """Work off `first` and what is claimed afterwards; returns how many items these were.

        Raises the first error of `act` or `exchange`; then no item is under way any more.
        """
        claim_until = asyncio.get_running_loop().time() + self.claim_seconds
        work = _Work(self.act)
        fresh, count, pauses = first, 0, iter(self.idle_pauses)
        try:
            while True:
                work.start(fresh)
                count += len(fresh)
                if work.open:
                    pauses = iter(self.idle_pauses)
                    await work.progress(self.beat_seconds)
                elif self._may_claim(claim_until) and (pause := next(pauses, None)) is not None:
                    await asyncio.sleep(pause)
                else:
                    return count
                done = work.take(self.weigh)
                limit = self.size - work.open if self._may_claim(claim_until) else 0
                fresh = await asyncio.to_thread(self.exchange, done, limit if limit >= self.least_claim else 0)
        finally:
            # Before the caller closes their connections.
            await work.cancel()

    def _may_claim(self, until: float) -> bool:
        return asyncio.get_running_loop().time() < until and not self.stopping()


class _Work(Generic[T, R]):
    """The items of one run. `open`: those that are under way, or done and not yet taken to be written."""

    def __init__(self, act: Callable[[T], Awaitable[R]]) -> None:
        self.open = 0
        self._act = act
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[tuple[T, R]] = []
        self._errors: list[BaseException] = []
        self._progress = asyncio.Event()

    def start(self, items: Sequence[T]) -> None:
        self.open += len(items)
        for item in items:
            task = asyncio.create_task(self._one(item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, item: T) -> None:
        try:
            self._done.append((item, await self._act(item)))
        except BaseException as error:  # noqa: BLE001  (`progress` raises it)
            self._errors.append(error)
        self._progress.set()

    async def progress(self, seconds: float) -> None:
        """Wait until an item is done, for at most so many seconds; raises the first error of an item."""
        if not self._done:
            # Not `wait_for`: on Python 3.11 it can swallow the cancellation of the run.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._progress.wait()
        self._progress.clear()
        if self._errors:
            raise self._errors[0]

    def take(self, weigh: Callable[[R], int]) -> list[tuple[T, R]]:
        """One portion of what is done; the rest waits for the next exchange."""
        portion = next(portions(self._done, lambda done: weigh(done[1])), [])
        del self._done[: len(portion)]
        self.open -= len(portion)
        return portion

    async def cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
