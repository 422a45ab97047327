"""`jobs.dispatch`: beat's tick. Wakes what sleeps; a step that is busy keeps itself going."""

from __future__ import annotations

from celery import shared_task

from tasks.plumbing.run_batch import start
from tasks.plumbing.runtime import runtime


@shared_task(name="jobs.dispatch", send_events=False)
def dispatch() -> None:
    """Start as many batches as there is due work and room for. Running it twice, or late, changes nothing."""
    for name, store in runtime().families.items():
        for step in store.steps:
            for account, token in store.dispatch(step):
                start(name, step, account, token)
