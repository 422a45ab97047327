"""The service's Celery tasks: adapters, one line each. Each may run twice or never: the ledger decides what there is to
do.
"""

from __future__ import annotations

from typing import Any

from celery.signals import setup_logging, worker_init

from service.app import (
    celery_app,
    check_ledger,
    crawl_worker,
    end_worker_quickly_at_second_signal,
    job_worker,
    set_up_logs,
    write_heartbeats_of_worker,
)

app = celery_app()


@worker_init.connect
def _check_ledger(**_: Any) -> None:
    check_ledger()


@worker_init.connect
def _write_heartbeats(**_: Any) -> None:
    write_heartbeats_of_worker()


@worker_init.connect
def _end_quickly_at_second_signal(**_: Any) -> None:
    end_worker_quickly_at_second_signal()


@setup_logging.connect
def _set_up_logs(**_: Any) -> None:
    set_up_logs()


@app.task(name="service.fetch")
def fetch(*, token: str) -> None:
    """One round of fetching pages of jobs."""
    job_worker().fetch(token)


@app.task(name="service.deliver")
def deliver(*, token: str) -> None:
    """One round of delivering webhooks of jobs."""
    job_worker().deliver(token)


@app.task(name="service.crawl")
def crawl(*, token: str) -> None:
    """One round of fetching pages of crawls."""
    crawl_worker().crawl(token)


@app.task(name="service.deliver_events")
def deliver_events(*, token: str) -> None:
    """One round of delivering events of crawls."""
    crawl_worker().deliver(token)
