"""`crawls.create`: check the arguments, write the record; and the batches that create and poll at the remote."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from longhaul.crawls.arguments import read_new_crawl
from longhaul.crawls.crawl import CrawlStep
from longhaul.errors import InvalidArgument
from tasks.plumbing.run_batch import run
from tasks.plumbing.runtime import runtime
from tasks.plumbing.wait_for_ledger import wait_for_ledger
from tasks.submit import SubmittingTask, keywords_only


@shared_task(name="crawls.create", bind=True, base=SubmittingTask, throws=(InvalidArgument,))
def create(self: Task[..., None], *args: Any, **arguments: Any) -> None:
    """Record one crawl under this task's id. The task has no result of its own: the crawl's end is its result."""
    keywords_only(args)
    order = read_new_crawl(arguments, runtime().crawl_rules)
    wait_for_ledger(lambda: runtime().crawls.order(str(self.request.id), order))


@shared_task(name="crawls.create_batch", send_events=False)
def create_batch(account: str, token: str = "") -> None:
    """One batch of creations at the remote for `account`."""
    run("crawls", CrawlStep.CREATE, account, token)


@shared_task(name="crawls.poll", send_events=False)
def poll(account: str, token: str = "") -> None:
    """One batch of polls of the progress for `account`."""
    run("crawls", CrawlStep.POLL, account, token)
