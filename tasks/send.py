"""`jobs.send`: submit a batch of queued jobs to the remote."""

from __future__ import annotations

from celery import shared_task

from jobs.job import Step
from tasks.batches import run


@shared_task(name="jobs.send", send_events=False)
def send(account: str, token: str = "") -> None:
    """One batch of submissions for `account`."""
    run(Step.SEND, account, token)
