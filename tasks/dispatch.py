"""`jobs.dispatch`: beat's tick. Wakes the sleeping; a step that is busy keeps itself going."""

from __future__ import annotations

from celery import shared_task

from longhaul.crawls.crawl import CrawlStep
from longhaul.jobs.job import JobStep
from tasks import crawl
from tasks.plumbing.run_batch import start
from tasks.plumbing.runtime import runtime


@shared_task(name="jobs.dispatch", send_events=False)
def dispatch() -> None:
    """Start as many batches as there is due work and room for. Running it twice, or late, changes nothing."""
    for step in JobStep:
        for account, token in runtime().store.dispatch(step):
            start(step, account, token)
    for crawl_step in CrawlStep:
        for account, token in runtime().crawls.dispatch(crawl_step):
            crawl.start(crawl_step, account, token)
