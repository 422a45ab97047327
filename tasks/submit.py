"""`jobs.submit` and `jobs.submit_batch`: check the arguments, write the records; nothing else."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from longhaul.errors import InvalidArgument
from longhaul.jobs.arguments import read_batch, read_new_job, refusal
from tasks.plumbing.redaction import RedactedRequest, RedactedTask
from tasks.plumbing.runtime import runtime
from tasks.plumbing.wait_for_ledger import wait_for_ledger


class SubmittingRequest(RedactedRequest):
    """A submission that went well leaves no result and no event: the job's end will.

    Raising `Ignore` says the same, but Celery formats its traceback, which was a third of a worker's time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The caller's message says False. An error is stored nevertheless: `task_store_errors_even_if_ignored`.
        self.request_dict["ignore_result"] = True

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  (Celery's signature)
        """As Celery does, but for the one event."""
        if type != "task-succeeded":
            super().send_event(type, **fields)


class SubmittingTask(RedactedTask):
    """The base of `jobs.submit` and `crawls.create`."""

    Request = "tasks.submit:SubmittingRequest"


@shared_task(name="jobs.submit", bind=True, base=SubmittingTask, throws=(InvalidArgument,))
def submit(self: Task[..., None], *args: Any, **arguments: Any) -> None:
    """Record one job under this task's id. The task has no result of its own: the job's end is its result."""
    keywords_only(args)
    new = read_new_job(arguments, runtime().job_rules)
    wait_for_ledger(lambda: runtime().jobs.submit([(str(self.request.id), new)], tracked=True))


@shared_task(name="jobs.submit_batch", bind=True, ignore_result=False, throws=(InvalidArgument,))
def submit_batch(
    self: Task[..., Any], *args: Any, requests: object = None, partial: bool = False, **defaults: Any
) -> list[str] | dict[str, Any]:
    """Record up to 50,000 jobs as `<task id>.<n>`, `n` being the entry's place; returns their ids.

    `defaults` are arguments of `jobs.submit` for entries that do not say otherwise. With wrong entries nothing is
    recorded, unless `partial`: then the good ones are, and the result is `{"ids": [...], "rejected": [{"index": n,
    "error": "..."}]}`.
    """
    keywords_only(args)
    batch = read_batch(requests, defaults, runtime().job_rules)
    if batch.rejected and not partial:
        raise refusal(batch)
    new = [(f"{self.request.id}.{at}", job) for at, job in batch.accepted]
    wait_for_ledger(lambda: runtime().jobs.submit(new, tracked=False))
    ids = [job_id for job_id, _ in new]
    if not partial:
        return ids
    return {"ids": ids, "rejected": [{"index": at, "error": why} for at, why in batch.rejected]}


def keywords_only(args: tuple[Any, ...]) -> None:
    """Refuse positional arguments."""
    if args:
        raise InvalidArgument(f"{len(args)} positional argument(s): name every argument, e.g. kwargs={{'url': ...}}")
