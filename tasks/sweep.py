"""`jobs.sweep`: the housekeeping of every minute."""

from __future__ import annotations

import structlog
from celery import shared_task

from longhaul.work.balance import balance
from tasks.plumbing.run_batch import start
from tasks.plumbing.runtime import runtime

log = structlog.get_logger()


@shared_task(name="jobs.sweep", send_events=False)
def sweep() -> None:
    """Check the books, and start one batch for each paused lane, where the tick starts none: what is past its deadline
    ends there too.
    """
    for name, store in runtime().families.items():
        books = store.books()
        for fault in balance(books).faults:
            log.error("the books do not balance", family=name, fault=fault)
        for lane in books.lanes:
            if lane.paused_until is not None and lane.due:
                step, _, account = lane.name.partition(":")
                start(name, store.steps(step), account, "")
