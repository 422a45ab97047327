"""Being told to stop: once is a request to finish what is in flight and to take nothing new; twice means at once.

Celery hears a second SIGTERM and does nothing, and its threads cannot be killed; uvicorn hears none but a second
SIGINT.
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
"""What a worker that was told twice still gets, for what it has in hand."""
EX_TEMPFAIL = 75
"""sysexits.h: told twice, and something was still in flight: its lease ends, and another goes on with it."""


def stopping() -> bool:
    """Whether this process's worker was told to stop."""
    # Celery's own test: an exit code, 0 among them, means yes.
    return any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate))


def quick_at_second_signal(abort_pending: Callable[[], None]) -> None:
    """Have a worker that is told to stop once more call `abort_pending`, from a thread of its own, and end two seconds
    later at the latest.
    """
    told: list[str] = []

    def hear(sig: str, **_: Any) -> None:
        told.append(sig)
        if len(told) == 2:  # noqa: PLR2004  (the second)
            # A thread, for this is a signal's handler: whatever lock `abort_pending` wants, the main thread may hold
            # it.
            threading.Thread(target=end, name="quick-end", daemon=True).start()

    def end() -> None:
        log.warning("told to stop a second time: what is in flight is left to its leases")
        abort_pending()
        time.sleep(LAST_SECONDS)
        os._exit(EX_TEMPFAIL)

    worker_shutting_down.connect(hear, weak=False)


def server_quick_at_second_signal() -> None:
    """Have a uvicorn server that is told SIGTERM once more end as at a second Ctrl-C; to be called once it runs, in its
    main thread.
    """
    first = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(first):
        return
    told = threading.Event()

    def hear(_: int, frame: FrameType | None) -> None:
        first(signal.SIGINT if told.is_set() else signal.SIGTERM, frame)
        told.set()

    signal.signal(signal.SIGTERM, hear)
