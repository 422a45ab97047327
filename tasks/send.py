"""`jobs.send`: submit a batch of queued jobs to the remote."""

from __future__ import annotations

from celery import shared_task

from longhaul.jobs.job import JobStep
from tasks.plumbing.run_batch import run


@shared_task(name="jobs.send", send_events=False)
def send(account: str, token: str = "") -> None:
    """One batch of submissions for `account`."""
    run("jobs", JobStep.SEND, account, token)
