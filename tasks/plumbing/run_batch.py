"""Start a batch, and run one: what `jobs.send`, `jobs.poll` and `jobs.cancel` share."""

from __future__ import annotations

import structlog
from celery import current_app

from longhaul.jobs.job import JobStep
from tasks.plumbing.runtime import BATCHES, HINT_EXPIRES, runtime, stopping

log = structlog.get_logger()


def start(step: JobStep, account: str, token: str) -> None:
    """Send the message that makes some worker run a batch."""
    current_app.send_task(
        f"jobs.{step}", kwargs={"account": account, "token": token}, queue=BATCHES, expires=HINT_EXPIRES
    )


def run(step: JobStep, account: str, token: str) -> None:
    """Run one batch; where it left due work behind, the next starts at once.

    Where this process has no room, or is to stop, the token is given back instead: the work stays due, and the next
    tick starts another.
    """
    room = runtime().batches
    if stopping() or not room.acquire(blocking=False):
        runtime().store.leave(step, token)
        return
    try:
        report = runtime().flow.run_batch(step, account, token)
    finally:
        room.release()
    if report.more:
        start(step, account, token)
    if report.claimed:
        log.info("batch", step=step.value, account=account, claimed=report.claimed, late=report.late, **report.counts)
