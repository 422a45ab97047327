"""Writes of many requests in one round trip: whatever comes while one is under way goes with the next. Nobody waits for
company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

P = TypeVar("P")
A = TypeVar("A")


class WriteCoalescer(Generic[P, A]):
    """`write` takes pieces and gives their answers in order; what it raises, all of their owners get. A group ends with
    the piece with which its size reaches `enough`."""

    def __init__(self, write: Callable[[Sequence[P]], Awaitable[list[A]]], enough: int) -> None:
        self._write = write
        self._enough = enough
        self._waiting: list[tuple[P, int, asyncio.Future[A]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, piece: P, size: int) -> A:
        """Have `piece` written with the next group, if that has room; its answer."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((piece, size, answer))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_groups())
        return await answer

    async def _write_groups(self) -> None:
        while self._waiting:
            group = self._next()
            try:
                answers = await self._write([piece for piece, _, _ in group])
            except Exception as error:  # noqa: BLE001  (it belongs to those who wait)
                _all(group, error)
            else:
                for (_, _, waiting), answer in zip(group, answers, strict=True):
                    # Whoever has hung up waits no more.
                    if not waiting.done():
                        waiting.set_result(answer)

    def _next(self) -> Sequence[tuple[P, int, asyncio.Future[A]]]:
        sizes = accumulate(size for _, size, _ in self._waiting)
        count = next((number for number, size in enumerate(sizes, start=1) if size >= self._enough), len(self._waiting))
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group


def _all(group: Sequence[tuple[P, int, asyncio.Future[A]]], error: Exception) -> None:
    for _, _, waiting in group:
        if not waiting.done():
            waiting.set_exception(error)
