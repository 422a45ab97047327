"""Where settings become the service's objects; nothing else in the service reads them.

uvicorn --factory service.app:api      the web process
celery -A service.tasks worker                 the crew
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
from service.crawls import crawler
from service.crawls import delivery as telling
from service.crawls.crawl_worker import CrawlWorker
from service.crawls.frontier import Frontier
from service.crawls.order import CrawlOrderRules
from service.crawls.outbox import Outbox
from service.crawls.store import CRAWL, DELIVER, ServiceCrawls
from service.faults.dial import Dial
from service.http.crawl_routes import CrawlRouteDeps
from service.http.routes import RouteDeps, build
from service.jobs.job_worker import FetchLimits, JobWorker
from service.jobs.runs import FETCH, WEBHOOK, Runs

TASKS = {FETCH: "service.fetch", WEBHOOK: "service.deliver", CRAWL: "service.crawl", DELIVER: "service.deliver_events"}


@cache
def settings() -> Settings:
    """The settings of the process; a wrong one ends it."""
    try:
        return load()
    except SettingsError as error:
        sys.exit(str(error))


@cache
def celery_app() -> Celery:
    """Celery as the service uses it: no results, no events, one queue."""
    # It warns of pickled messages under root; ours are JSON, and a container's only user may well be root.
    warnings.simplefilter("ignore", SecurityWarning)
    app = Celery("service", set_as_current=False)
    app.conf.update(
        celery_settings(settings())
        | {
            "task_default_queue": SERVICE,
            # Its tasks are hints, thousands of them; nobody reads what they return.
            "result_backend": None,
            "worker_send_task_events": False,
        }
    )
    return app


@cache
def crew() -> JobWorker:
    """What the workers do."""
    given = settings()
    limits = FetchLimits(
        attempt=given.http_timeout,
        lease=given.lease,
        body=given.service_max_body_bytes,
        private=given.service_private_targets,
        most=given.max_batches,
    )
    return JobWorker(_runs(), limits, given.service_public_url, _start, stopping)


@cache
def crawl_crew() -> CrawlWorker:
    """What the workers do for crawls."""
    given = settings()
    limits = crawler.PageLimits(
        attempt=given.http_timeout,
        retry_for=given.service_page_retry_for,
        body=given.service_max_body_bytes,
        private=given.service_private_targets,
        most=given.max_batches,
    )
    frontier = Frontier(
        _register(),
        per_host=given.service_per_host,
        share=crawler.SHARE,
        lease=given.lease,
        patience=given.service_page_retry_for,
    )
    tidings = Outbox(_register(), per_crawl=telling.PER_CRAWL, share=telling.SHARE, lease=given.lease)
    return CrawlWorker(_register(), frontier, tidings, limits, _start, stopping)


def api() -> FastAPI:
    """The web application."""
    given = settings()
    set_up_logs()
    # uvicorn has given its loggers handlers of their own. Without them its lines take the same shape as ours, and there
    # is no access log at any level: the vendor's client writes its key into the address.
    for name, propagates in (("uvicorn", True), ("uvicorn.access", False)):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = propagates
    prove()
    server_quick_at_second_signal()
    free = tuple(key.get_secret_value() for key in given.service_free_keys)
    keys = (*(key.get_secret_value() for key in given.service_api_keys), *free)
    dial = Dial(_redis()) if given.service_faults else None
    terms = CrawlOrderRules(given.service_private_targets, given.crawl_max_depth, given.crawl_max_budget)
    crawls = CrawlRouteDeps(_register(), terms, keys, free, dial)
    return build(RouteDeps(_runs(), given.service_public_url, keys, given.service_private_targets, dial, _wake, crawls))


def set_up_logs() -> None:
    """Log as the settings say."""
    logs.set_up(settings().log_level, settings().log_format)


def write_heartbeats_of_worker() -> None:
    """Give this worker's health check something to look at."""
    write_heartbeats(settings().heartbeat_file, longest=settings().visibility_timeout)


def end_worker_quickly_at_second_signal() -> None:
    """Its work is fetching and pushing: what has not come to its end is done again after its lease."""
    quick_at_second_signal(lambda: None)


def prove() -> None:
    """End this process, with the reason, where its ledger cannot be one."""
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
def _register() -> ServiceCrawls:
    return ServiceCrawls(_redis(), retention=settings().service_crawl_retention)


def _wake() -> None:
    crew().wake()
    crawl_crew().wake()


def _start(lane: str, token: str) -> None:
    celery_app().send_task(TASKS[lane], kwargs={"token": token}, expires=HINT_EXPIRES)
