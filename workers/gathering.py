"""Writes of many requests in one round trip: whatever comes while one is under way goes with the next. Nobody waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

C = TypeVar("C")
A = TypeVar("A")


class Gathering(Generic[C, A]):
    """`write` blocks: it takes calls and gives their answers in order; what it raises, all of its callers get."""

    def __init__(self, write: Callable[[Sequence[C]], list[A]]) -> None:
        self._write = write
        self._waiting: list[tuple[C, asyncio.Future[A]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, call: C) -> A:
        """Have `call` written with the next group; its answer."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_groups())
        return await answer

    async def _write_groups(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                answers = await asyncio.to_thread(self._write, [call for call, _ in group])
            except Exception as error:  # noqa: BLE001  (it belongs to those who wait)
                _all(group, error)
            else:
                for (_, waiting), answer in zip(group, answers, strict=True):
                    # Whoever has hung up waits no more.
                    if not waiting.done():
                        waiting.set_result(answer)


def _all(group: Sequence[tuple[C, asyncio.Future[A]]], error: Exception) -> None:
    for _, waiting in group:
        if not waiting.done():
            waiting.set_exception(error)
