"""Wakes the workers each second, and at once after a submission. If it stops, work waits; nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import structlog

TICK_SECONDS = 1.0
LEAST_PAUSE_SECONDS = 0.02
"""Least pause between two calls: a thousand submissions a second wake the workers fifty times."""
STALE_SECONDS = 10.0
"""Without a successful call for that long, this process is not healthy."""

log = structlog.get_logger()


class Ticker:
    """Calls `wake` (which blocks) in a thread, over and over."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._nudged = asyncio.Event()
        self._last = time.monotonic()

    def nudge(self) -> None:
        """There is new work: do not wait for the tick. From the event loop only."""
        self._nudged.set()

    @property
    def alive(self) -> bool:
        """Whether the last successful call was a short time ago."""
        return time.monotonic() - self._last < STALE_SECONDS

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
                log.warning("could not wake the workers", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(LEAST_PAUSE_SECONDS)
            # Not `wait_for`: on Python 3.11 it can swallow the cancellation that ends this.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._nudged.wait()
            self._nudged.clear()
