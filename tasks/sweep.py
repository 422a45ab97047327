"""`jobs.sweep`: the housekeeping of every minute."""

from __future__ import annotations

import structlog
from celery import shared_task

from longhaul.crawls.crawl import CrawlStep
from longhaul.jobs.job import JobStep
from longhaul.work.balance import balance
from tasks import crawl
from tasks.plumbing.run_batch import start
from tasks.plumbing.runtime import runtime

log = structlog.get_logger()


@shared_task(name="jobs.sweep", send_events=False)
def sweep() -> None:
    """Check the books, and start one batch for each paused lane, where the tick starts none: what is past its deadline
    ends there too.
    """
    jobs, crawls = runtime().store.books(), runtime().crawls.books()
    for what, books in (("jobs", jobs), ("crawls", crawls)):
        for fault in balance(books).faults:
            log.error("the books do not balance", what=what, fault=fault)
    for lane in jobs.lanes:
        if lane.paused_until is not None and lane.due:
            step, _, account = lane.name.partition(":")
            start(JobStep(step), account, "")
    for lane in crawls.lanes:
        if lane.paused_until is not None and lane.due:
            step, _, account = lane.name.partition(":")
            crawl.start(CrawlStep(step), account, "")
