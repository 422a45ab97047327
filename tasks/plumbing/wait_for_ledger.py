"""Retry a ledger write until it succeeds: the message may be the only copy of its job."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from celery.exceptions import Reject

from longhaul.ledger.connection import AWAY
from tasks.plumbing.runtime import runtime, stopping

T = TypeVar("T")
RETRY_SECONDS = 1.0

log = structlog.get_logger()


def wait_for_ledger(write: Callable[[], T]) -> T:
    """What `write` returns, once the ledger takes it; `write` may run several times.

    The message goes back to its queue where the worker is to stop, or before the broker hands it to another worker.
    """
    until = time.monotonic() + runtime().settings.visibility_timeout / 2
    while True:
        try:
            return write()
        except AWAY as error:
            if time.monotonic() > until or stopping():
                raise Reject(str(error), requeue=True) from error
            log.warning("the ledger does not take writes; waiting for it", error=str(error))
            time.sleep(RETRY_SECONDS)
