"""`jobs.poll`: poll a batch of running jobs whose next poll is due."""

from __future__ import annotations

from celery import shared_task

from longhaul.jobs.job import JobStep
from tasks.plumbing.run_batch import run


@shared_task(name="jobs.poll", send_events=False)
def poll(account: str, token: str = "") -> None:
    """One batch of polls for `account`."""
    run("jobs", JobStep.POLL, account, token)
