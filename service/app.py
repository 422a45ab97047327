"""Where settings become the objects of the service; no other module of it reads them.

uvicorn --factory service.app:api      the web process
celery -A service.tasks worker         the workers
"""

from __future__ import annotations

import logging
import sys
import warnings
from functools import cache

from celery import Celery
from celery.exceptions import SecurityWarning
from fastapi import FastAPI
from redis import Redis

from config.celery_settings import HINT_EXPIRES, SERVICE, celery_settings
from config.settings import Settings, SettingsError, load
from longhaul.ledger.connection import connect, problem
from longhaul.process import logs
from longhaul.process.heartbeat import write_heartbeats
from longhaul.process.shutdown import quick_at_second_signal, server_quick_at_second_signal, stopping
from service.crawls.crawl_worker import CrawlWorker
from service.crawls.crawler import SLOTS_PER_ROUND
from service.crawls.delivery import CRAWL_EVENTS_AT_ONCE, CRAWL_EVENTS_PER_ROUND
from service.crawls.frontier import Frontier
from service.crawls.order import CrawlOrderRules
from service.crawls.outbox import Outbox
from service.crawls.store import CRAWL, DELIVER, ServiceCrawlStore
from service.faults.dial import Dial
from service.fetching.fetch import FetchLimits
from service.http.crawl_routes import CrawlRouteDeps
from service.http.routes import RouteDeps, build
from service.jobs.job_worker import JobWorker
from service.jobs.runs import FETCH, WEBHOOK, Runs

TASKS = {FETCH: "service.fetch", WEBHOOK: "service.deliver", CRAWL: "service.crawl", DELIVER: "service.deliver_events"}
"""The Celery task that runs a round of each lane."""


@cache
def settings() -> Settings:
    """The settings of the process; a wrong one ends the process."""
    try:
        return load()
    except SettingsError as error:
        sys.exit(str(error))


@cache
def celery_app() -> Celery:
    """Celery as the service uses it: no results, no events, one queue."""
    # Celery warns root of pickled messages. Ours are JSON, and the only user of a container is often root.
    warnings.simplefilter("ignore", SecurityWarning)
    app = Celery("service", set_as_current=False)
    app.conf.update(
        celery_settings(settings())
        | {
            "task_default_queue": SERVICE,
            # Tasks are hints, thousands of them, and nobody reads what they return.
            "result_backend": None,
            "worker_send_task_events": False,
        }
    )
    return app


@cache
def job_worker() -> JobWorker:
    """What the workers do for jobs."""
    given = settings()
    return JobWorker(
        start=_start,
        max_rounds=given.max_batches,
        stopping=stopping,
        runs=_runs(),
        limits=_fetch_limits(),
        lease_seconds=given.lease,
        public_url=given.service_public_url,
    )


@cache
def crawl_worker() -> CrawlWorker:
    """What the workers do for crawls."""
    given, store = settings(), _crawl_store()
    retry_for = given.service_page_retry_for
    return CrawlWorker(
        start=_start,
        max_rounds=given.max_batches,
        stopping=stopping,
        store=store,
        frontier=Frontier(
            store, per_host=given.service_per_host, share=SLOTS_PER_ROUND, lease=given.lease, retry_for=retry_for
        ),
        outbox=Outbox(store, per_crawl=CRAWL_EVENTS_AT_ONCE, share=CRAWL_EVENTS_PER_ROUND, lease=given.lease),
        limits=_fetch_limits(),
        retry_for=retry_for,
    )


def api() -> FastAPI:
    """The web application."""
    given = settings()
    set_up_logs()
    # uvicorn has given its loggers handlers of their own. Without these its lines have the same format as ours, and
    # there is no access log at any level: the vendor's client writes its key into the address.
    for name, propagates in (("uvicorn", True), ("uvicorn.access", False)):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = propagates
    check_ledger()
    server_quick_at_second_signal()
    free_keys = tuple(key.get_secret_value() for key in given.service_free_keys)
    keys = (*(key.get_secret_value() for key in given.service_api_keys), *free_keys)
    private, dial = given.service_private_targets, Dial(_redis()) if given.service_faults else None
    rules = CrawlOrderRules(private, given.crawl_max_depth, given.crawl_max_budget)
    crawls = CrawlRouteDeps(_crawl_store(), rules, keys, free_keys, dial)
    return build(RouteDeps(_runs(), given.service_public_url, keys, private, dial, _wake, crawls))


def set_up_logs() -> None:
    """Log in the format and from the level that the settings say."""
    logs.set_up(settings().log_level, settings().log_format)


def write_heartbeats_of_worker() -> None:
    """Write the file that this worker's health check reads."""
    write_heartbeats(settings().heartbeat_file, longest=settings().visibility_timeout)


def end_worker_quickly_at_second_signal() -> None:
    """Let a second signal end the worker at once: what is under way is done again after its lease."""
    quick_at_second_signal(lambda: None)


def check_ledger() -> None:
    """End this process, with the reason, where its ledger does not answer or cannot be used."""
    wrong = problem(_redis())
    if wrong:
        sys.exit(f"the ledger (LONGHAUL_REDIS_URL) {wrong}")


@cache
def _redis() -> Redis:
    return connect(settings().redis_url)


@cache
def _runs() -> Runs:
    given = settings()
    return Runs(
        _redis(),
        retention=given.service_retention,
        read_grace=given.service_read_grace,
        retry_for=given.service_retry_for,
    )


@cache
def _crawl_store() -> ServiceCrawlStore:
    return ServiceCrawlStore(_redis(), retention=settings().service_crawl_retention)


def _fetch_limits() -> FetchLimits:
    given = settings()
    return FetchLimits(
        attempt_seconds=given.http_timeout,
        body_bytes=given.service_max_body_bytes,
        private=given.service_private_targets,
    )


def _wake() -> None:
    job_worker().wake()
    crawl_worker().wake()


def _start(lane: str, token: str) -> None:
    celery_app().send_task(TASKS[lane], kwargs={"token": token}, expires=HINT_EXPIRES)
