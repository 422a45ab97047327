"""Start a batch, and run one: what the tasks of every step share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import structlog
from celery import current_app

from longhaul.crawls.crawl import CrawlStep
from longhaul.jobs.job import JobStep
from tasks.plumbing.runtime import BATCHES, HINT_EXPIRES, runtime, stopping

TASKS: Mapping[tuple[str, StrEnum], str] = {
    ("jobs", JobStep.SEND): "jobs.send",
    ("jobs", JobStep.POLL): "jobs.poll",
    ("jobs", JobStep.CANCEL): "jobs.cancel_batch",
    ("crawls", CrawlStep.CREATE): "crawls.create_batch",
    ("crawls", CrawlStep.POLL): "crawls.poll",
    ("crawls", CrawlStep.CANCEL): "crawls.cancel_batch",
}
"""The task that runs a batch, by family and step. Callers use `jobs.cancel`, `crawls.create` and `crawls.cancel`."""

log = structlog.get_logger()


def start(family: str, step: StrEnum, account: str, token: str) -> None:
    """Send the message that makes some worker run a batch."""
    arguments = {"account": account, "token": token}
    current_app.send_task(TASKS[family, step], kwargs=arguments, queue=BATCHES, expires=HINT_EXPIRES)


def run(family: str, step: StrEnum, account: str, token: str) -> None:
    """Run one batch; where it left due work behind, the next starts at once.

    Where this process has no room, or is to stop, the token is given back instead: the work stays due, and the next
    tick starts another.
    """
    runner, room = runtime().runners[family], runtime().batches
    if stopping() or not room.acquire(blocking=False):
        if token:
            runner.store.leave(step, token)
        return
    try:
        report = runner.run(step, account, token, stopping)
    finally:
        room.release()
    if report.more:
        start(family, step, account, token)
    if report.claimed:
        log.info(
            "batch",
            family=family,
            step=step.value,
            account=account,
            claimed=report.claimed,
            late=report.late,
            **report.counts,
        )
