"""`jobs.cancel`: mark a job as cancelled, and tell the remote."""

from __future__ import annotations

from celery import shared_task

from longhaul.errors import InvalidArgument, invalid
from longhaul.jobs.job import JobStep
from longhaul.work.item import State
from tasks.plumbing.run_batch import run
from tasks.plumbing.runtime import runtime
from tasks.plumbing.wait_for_ledger import wait_for_ledger


@shared_task(name="jobs.cancel", ignore_result=False, throws=(InvalidArgument,))
def cancel(job_id: str | None = None, account: str | None = None, token: str = "") -> dict[str, str]:
    """Cancel `job_id`; returns `{"id", "status"}`, its state afterwards. A job that has ended stays as it is.

    The mark is in the ledger before the remote is told, so that a crash in between delays the cancellation and loses
    nothing. Where a look at the job is under way, the status is the open one, and the job ends with that look. Without
    `job_id`: one batch of `account`'s cancellations, as the dispatcher starts it.
    """
    if job_id is None:
        if account is None:
            raise InvalidArgument("job_id: is missing: name the job to cancel")
        run(JobStep.CANCEL, account, token)
        return {}
    wanted = job_id
    marked, account = wait_for_ledger(lambda: runtime().store.cancel(wanted))
    if marked == "missing":
        raise invalid(
            "job_id",
            job_id,
            "is not a job that this ledger knows; ended jobs are forgotten after LONGHAUL_KEEP_ENDED seconds",
        )
    if marked != "marked":
        return {"id": job_id, "status": marked}
    run(JobStep.CANCEL, account, "")
    return {"id": job_id, "status": runtime().store.state(job_id) or State.CANCELLED}
