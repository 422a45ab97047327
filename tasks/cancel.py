"""`jobs.cancel` and `crawls.cancel`: mark as cancelled, then cancel at the remote; and the batches that do that."""

from __future__ import annotations

from celery import shared_task

from longhaul.crawls.crawl import CrawlStep
from longhaul.errors import InvalidArgument, invalid
from longhaul.jobs.job import JobStep
from longhaul.work.item import State
from tasks.plumbing.run_batch import run
from tasks.plumbing.runtime import runtime
from tasks.plumbing.wait_for_ledger import wait_for_ledger


@shared_task(name="jobs.cancel", ignore_result=False, throws=(InvalidArgument,))
def cancel_job(job_id: str | None = None) -> dict[str, str]:
    """Cancel `job_id`; returns `{"id", "status"}`, its state afterwards. A job that has ended stays as it is."""
    return _cancel("jobs", job_id)


@shared_task(name="crawls.cancel", ignore_result=False, throws=(InvalidArgument,))
def cancel_crawl(crawl_id: str | None = None) -> dict[str, str]:
    """Cancel `crawl_id`; returns `{"id", "status"}`, its state afterwards. A crawl that has ended stays as it is."""
    return _cancel("crawls", crawl_id)


@shared_task(name="jobs.cancel_batch", send_events=False)
def cancel_jobs(account: str, token: str = "") -> None:
    """One batch of the cancellations of jobs for `account`."""
    run("jobs", JobStep.CANCEL, account, token)


@shared_task(name="crawls.cancel_batch", send_events=False)
def cancel_crawls(account: str, token: str = "") -> None:
    """One batch of the cancellations of crawls for `account`."""
    run("crawls", CrawlStep.CANCEL, account, token)


def _cancel(family: str, id_: str | None) -> dict[str, str]:
    """The mark is in the ledger before the remote is asked: a crash in between delays the cancellation and loses
    nothing. Where a poll is under way, the status is the open one, and the cancellation follows that poll.
    """
    store = runtime().families[family]
    noun = store.noun
    if id_ is None:
        raise InvalidArgument(f"{noun}_id: is missing: name the {noun} to cancel")
    marked, account = wait_for_ledger(lambda: store.cancel(id_))
    if marked == "missing":
        raise invalid(
            f"{noun}_id",
            id_,
            f"is not a {noun} that this ledger knows; ended ones are forgotten after LONGHAUL_KEEP_ENDED seconds",
        )
    if marked != "marked":
        return {"id": id_, "status": marked}
    run(family, store.cancelling, account, "")
    return {"id": id_, "status": store.state(id_) or State.CANCELLED}
