"""Write what many requests bring in one round trip: what arrives during a write goes with the next one. Nothing waits
for a group to fill up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from longhaul.ledger.portions import PORTION_BYTES, portions

P = TypeVar("P")
A = TypeVar("A")


class _Waiting(NamedTuple, Generic[P, A]):
    piece: P
    size: int
    answer: asyncio.Future[A]


class WriteCoalescer(Generic[P, A]):
    """`write` takes pieces and returns their answers in order; an error that it raises goes to all of their owners. A
    group has at most `limit` bytes, or one piece.
    """

    def __init__(self, write: Callable[[Sequence[P]], Awaitable[list[A]]], limit: int = PORTION_BYTES) -> None:
        self._write = write
        self._limit = limit
        self._waiting: list[_Waiting[P, A]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, piece: P, size: int) -> A:
        """Have `piece`, which has `size` bytes, written with the next group that has room for it; its answer."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(piece, size, answer))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_groups())
        return await answer

    async def _write_groups(self) -> None:
        while self._waiting:
            group = next(portions(self._waiting, lambda one: one.size, self._limit))
            del self._waiting[: len(group)]
            try:
                answers = await self._write([one.piece for one in group])
            except Exception as error:  # noqa: BLE001  (it belongs to the owners of the pieces)
                _fail_all(group, error)
            else:
                for one, answer in zip(group, answers, strict=True):
                    # A request whose sender has hung up no longer waits.
                    if not one.answer.done():
                        one.answer.set_result(answer)


def _fail_all(group: Sequence[_Waiting[P, A]], error: Exception) -> None:
    for one in group:
        if not one.answer.done():
            one.answer.set_exception(error)
