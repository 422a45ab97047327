"""The service's Celery tasks: adapters, one line each. All may run twice or never; the ledger decides what there is to
do.
"""

from __future__ import annotations

from typing import Any

from celery.signals import setup_logging, worker_init

from service import app as composition

app = composition.celery_app()


@worker_init.connect
def _prove(**_: Any) -> None:
    composition.prove()


@worker_init.connect
def _show_pulse(**_: Any) -> None:
    composition.write_heartbeats_of_worker()


@worker_init.connect
def _end_quickly(**_: Any) -> None:
    composition.end_worker_quickly_at_second_signal()


@setup_logging.connect
def _set_up_logs(**_: Any) -> None:
    composition.set_up_logs()


@app.task(name="service.fetch")
def fetch(*, token: str) -> None:
    """One round of fetching."""
    composition.crew().fetch(token)


@app.task(name="service.deliver")
def deliver(*, token: str) -> None:
    """One round of pushing."""
    composition.crew().deliver(token)


@app.task(name="service.crawl")
def crawl(*, token: str) -> None:
    """One round of fetching pages of crawls."""
    composition.crawl_crew().crawl(token)


@app.task(name="service.deliver_events")
def tell(*, token: str) -> None:
    """One round of pushing events of crawls."""
    composition.crawl_crew().tell(token)
