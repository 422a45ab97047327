"""`crawls.create` and `crawls.cancel`, and `crawls.advance`, which works off what is due of their steps."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Task, current_app, shared_task

from longhaul.crawls.arguments import read_new_crawl
from longhaul.crawls.crawl import CrawlStep
from longhaul.errors import InvalidArgument, invalid
from longhaul.work.item import State
from tasks.plumbing.runtime import BATCHES, HINT_EXPIRES, runtime, stopping
from tasks.plumbing.wait_for_ledger import wait_for_ledger
from tasks.submit import SubmittingTask, keywords_only

log = structlog.get_logger()


@shared_task(name="crawls.create", bind=True, base=SubmittingTask, throws=(InvalidArgument,))
def create(self: Task[..., None], *args: Any, **arguments: Any) -> None:
    """Record one crawl under this task's id. The task has no result of its own: the crawl's end is its result."""
    keywords_only(args)
    order = read_new_crawl(arguments, runtime().crawl_terms)
    wait_for_ledger(lambda: runtime().crawls.order(str(self.request.id), order))


@shared_task(name="crawls.cancel", ignore_result=False, throws=(InvalidArgument,))
def cancel(crawl_id: str | None = None) -> dict[str, str]:
    """Cancel `crawl_id`; returns `{"id", "status"}`, its state afterwards. A crawl that has ended stays as it is.

    The mark is in the ledger before the remote is told, so that a crash in between delays the cancellation and loses
    nothing.
    """
    if crawl_id is None:
        raise InvalidArgument("crawl_id: is missing: name the crawl to cancel")
    marked, account = wait_for_ledger(lambda: runtime().crawls.cancel(crawl_id))
    if marked == "missing":
        raise invalid(
            "crawl_id",
            crawl_id,
            "is not a crawl that this ledger knows; ended ones are forgotten after LONGHAUL_KEEP_ENDED seconds",
        )
    if marked != "marked":
        return {"id": crawl_id, "status": marked}
    _run(CrawlStep.CANCEL, account, "")
    return {"id": crawl_id, "status": runtime().crawls.state(crawl_id) or State.CANCELLED}


@shared_task(name="crawls.advance", send_events=False)
def advance(step: str, account: str, token: str = "") -> None:
    """One round of one step: `create`, `watch` or `stop`."""
    _run(CrawlStep(step), account, token)


def start(step: CrawlStep, account: str, token: str) -> None:
    """Send the message that makes some worker run a round."""
    arguments = {"step": step.value, "account": account, "token": token}
    current_app.send_task("crawls.advance", kwargs=arguments, queue=BATCHES, expires=HINT_EXPIRES)


def _run(step: CrawlStep, account: str, token: str) -> None:
    """Run one round, if this process has room for it: see `tasks.plumbing.run_batch`."""
    room = runtime().batches
    if stopping() or not room.acquire(blocking=False):
        if token:
            runtime().crawls.leave(step, token)
        return
    try:
        report = runtime().crawl_flow.run_round(step, account, token, stopping)
    finally:
        room.release()
    if report.more:
        start(step, account, "")
    if report.claimed:
        log.info("round", step=step.value, account=account, claimed=report.claimed, late=report.late, **report.counts)
