"""The web process's pulse: wakes the crew each second, and at once after a submission. Losing it costs waiting, nothing
else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import structlog

TICK = 1.0
BREATH = 0.02
"""Least pause between two wakings, so that a thousand submissions a second are fifty wakings."""
STALE = 10.0
"""Seconds without a waking after which this process is not healthy."""

log = structlog.get_logger()


class Ticker:
    """Calls `wake` (which blocks) in a thread, over and over."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._news = asyncio.Event()
        self._last = time.monotonic()

    def nudge(self) -> None:
        """There is new work: do not wait for the tick. From the event loop only."""
        self._news.set()

    @property
    def alive(self) -> bool:
        """Whether the last waking that worked was a short time ago."""
        return time.monotonic() - self._last < STALE

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ticks inside the `async with`."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._wake)
                self._last = time.monotonic()
            except Exception as error:  # noqa: BLE001  (Redis or the broker is away: the next tick tries again)
                log.warning("could not wake the crew", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(BREATH)
            # Not `wait_for`: of Python 3.11 it may swallow the cancellation by which this ends.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._news.wait()
            self._news.clear()
