"""Shutdown: a first SIGTERM asks to finish what is in flight and to take nothing new; a second one means at once.

Celery ignores a second SIGTERM, and its threads cannot be killed; uvicorn reacts only to a second SIGINT.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog
from celery.signals import worker_shutting_down
from celery.worker import state

log = structlog.get_logger()

LAST_SECONDS = 2.0
"""Time that a worker still has after the second signal, for what it is writing."""
EX_TEMPFAIL = 75
"""sysexits.h: ended by a second signal with work in flight, which another worker continues after its lease."""


def stopping() -> bool:
    """Whether the worker of this process is shutting down."""
    # Celery's own test: an exit code, 0 among them, means yes.
    return any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate))


def quick_at_second_signal(abort_pending: Callable[[], None]) -> None:
    """At the second shutdown signal have the worker call `abort_pending`, from a thread of its own, and end within two
    seconds.
    """
    received: list[str] = []

    def hear(sig: str, **_: Any) -> None:
        received.append(sig)
        if len(received) == 2:  # noqa: PLR2004  (the second)
            # In a thread, since this is a signal handler: the main thread may hold a lock that `abort_pending` needs.
            threading.Thread(target=end, name="quick-end", daemon=True).start()

    def end() -> None:
        log.warning("second shutdown signal: what is in flight is left to its leases")
        abort_pending()
        time.sleep(LAST_SECONDS)
        os._exit(EX_TEMPFAIL)

    worker_shutting_down.connect(hear, weak=False)


def server_quick_at_second_signal() -> None:
    """Have a uvicorn server treat a second SIGTERM like a second Ctrl-C; to be called in its main thread at start."""
    first = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(first):
        return
    received = threading.Event()

    def hear(_: int, frame: FrameType | None) -> None:
        first(signal.SIGINT if received.is_set() else signal.SIGTERM, frame)
        received.set()

    signal.signal(signal.SIGTERM, hear)
