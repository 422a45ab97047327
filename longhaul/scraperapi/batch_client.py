"""Many calls at once over kept connections: one event loop in a thread of its own, one aiohttp session, used by every
batch of the process.

The loop does nothing but I/O; parsing and deciding happen in the batch's own thread while the loop reads on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

import aiohttp
from uvloop import new_event_loop

from longhaul.scraperapi.models import Interrupted, TooLarge, Unreachable
from longhaul.scraperapi.protocol import HttpAnswer, HttpOutcome, HttpRequest

T = TypeVar("T")
OutcomeQueue = SimpleQueue[list[tuple[T, HttpOutcome | None]]]


class BatchClient:
    """Starts its loop at its first batch; `close` ends it. `timeout` in seconds bounds each call as a whole,
    `max_bytes` its answer.
    """

    def __init__(self, *, timeout: float, batch_timeout: float, max_bytes: int) -> None:
        self._timeout = timeout
        self._batch_timeout = batch_timeout
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._session: aiohttp.ClientSession | None = None
        self._unanswered: set[asyncio.Task[None]] = set()
        self._aborting = False

    def perform(self, calls: Sequence[tuple[T, HttpRequest]]) -> Iterator[list[tuple[T, HttpOutcome]]]:
        """Make all calls at once; gives their outcomes in groups, as they arrive: whatever has come since the group
        before.

        Every call has an outcome: `timeout` sees to that, and `batch_timeout` where even it fails. Only after
        `abort_pending` some have none.
        """
        if not calls:
            return
        arrived: OutcomeQueue[T] = SimpleQueue()
        batch = asyncio.run_coroutine_threadsafe(self._call_all(calls, arrived), self._running_loop())
        missing = len(calls)
        try:
            while missing:
                group = arrived.get(timeout=self._batch_timeout)
                while not arrived.empty():
                    group += arrived.get_nowait()
                missing -= len(group)
                if seen := [(key, outcome) for key, outcome in group if outcome is not None]:
                    yield seen
        except Empty:
            raise TimeoutError(
                f"{missing} of {len(calls)} calls had no outcome within {self._batch_timeout:g} s"
            ) from None
        finally:
            batch.cancel()

    def abort_pending(self) -> None:
        """Wait no longer for answers that have not begun to come, and make no further calls. What is being read is read
        to its end.
        """
        self._aborting = True
        loop = self._loop
        if loop is not None:
            # Closed meanwhile: there is nothing to abort_pending.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_up)

    def close(self) -> None:
        """End the loop and its connections; calls under way are broken off."""
        with self._lock:
            if self._loop is None or self._thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._close_session(), self._loop).result(timeout=10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
            self._loop.close()
            self._loop = self._thread = self._session = None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="batch-calls", daemon=True)
                self._thread.start()
            return self._loop

    async def _call_all(self, calls: Sequence[tuple[T, HttpRequest]], arrived: OutcomeQueue[T]) -> None:
        session = self._open_session()
        loop = asyncio.get_running_loop()
        group: list[tuple[T, HttpOutcome | None]] = []

        def hand_over() -> None:
            arrived.put(group.copy())
            group.clear()

        def done(key: T, outcome: HttpOutcome | None) -> None:
            # What one turn of the loop brings goes over together: each handing-over makes two threads change places.
            if not group:
                loop.call_soon(hand_over)
            group.append((key, outcome))

        tasks = [loop.create_task(self._call(session, key, request, done)) for key, request in calls]
        try:
            # One clock for all, which start together; aiohttp would wind one up for each.
            await asyncio.wait(tasks, timeout=self._timeout)
        finally:
            for task in tasks:
                task.cancel()

    def _give_up(self) -> None:
        for task in self._unanswered:
            task.cancel()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The batches bound the number of connections; a pool's own bound would make calls wait inside their
                # timeouts.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(10.0, self._timeout)),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _close_session(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(
        self,
        session: aiohttp.ClientSession,
        key: T,
        request: HttpRequest,
        done: Callable[[T, HttpOutcome | None], None],
    ) -> None:
        outcome: HttpOutcome | None = Interrupted(f"no answer within {self._timeout:g} s")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (this runs in the loop)
        self._unanswered.add(task)
        try:
            outcome = None if self._aborting else await self._answer(session, request, task)
        except asyncio.CancelledError:
            if self._aborting and task in self._unanswered:
                # The remote may have been asked, and nothing was seen: the lease decides.
                outcome = None
            raise
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            outcome = Unreachable(_words(error))
        except Exception as error:  # noqa: BLE001  (the outcome of this call; raised, it would end all others)
            outcome = Interrupted(_words(error))
        finally:
            self._unanswered.discard(task)
            done(key, outcome)

    async def _answer(
        self, session: aiohttp.ClientSession, request: HttpRequest, task: asyncio.Task[None]
    ) -> HttpOutcome:
        async with session.request(
            request.method, request.url, data=request.body, headers=request.headers, allow_redirects=False
        ) as response:
            self._unanswered.discard(task)
            if (response.content_length or 0) > self._max_bytes:
                return TooLarge(self._max_bytes)
            parts, size = [], 0
            # Counted after decompression, so that a small bomb is a large answer.
            async for part in response.content.iter_any():
                size += len(part)
                if size > self._max_bytes:
                    return TooLarge(self._max_bytes)
                parts.append(part)
            return HttpAnswer(response.status, response.headers, b"".join(parts))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
