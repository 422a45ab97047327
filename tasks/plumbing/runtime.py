"""The one place where settings become objects. One runtime a process, made at its first use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from threading import BoundedSemaphore, Lock
from typing import Any

from redis import Redis

from config.celery_settings import BATCHES, HINT_EXPIRES
from config.settings import Settings, load
from longhaul.crawls.arguments import CrawlIntakeRules
from longhaul.crawls.decider import CrawlDecider
from longhaul.crawls.pushes import CrawlPushes
from longhaul.crawls.remote import CrawlRemote
from longhaul.crawls.store import CLAIMS_FOR_SECONDS, CrawlLimits, CrawlStore
from longhaul.jobs.decider import JobDecider
from longhaul.jobs.pushes import JobPushes
from longhaul.jobs.remote import JobRemote
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.connection import connect
from longhaul.process.shutdown import stopping
from longhaul.scraperapi.batch_client import BatchClient
from longhaul.scraperapi.client import call
from longhaul.work.account_limits import AccountLimit
from longhaul.work.arguments import IntakeRules
from longhaul.work.batch_runner import BatchRunner
from longhaul.work.callbacks import Callbacks
from longhaul.work.retry_policies import Policies
from longhaul.work.store import Family
from tasks.plumbing.task_events import report
from tasks.plumbing.task_results import TaskResults

__all__ = ["BATCHES", "HINT_EXPIRES", "Runtime", "build", "runtime", "stopping"]

SPARE_THREADS = 2


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the tasks, the receiver and the command work with."""

    settings: Settings
    redis: Redis
    runners: dict[str, BatchRunner[Any, Any, Any]]
    """The runner of every family of work, by the family's name: the one list of them."""
    jobs: JobStore
    job_rules: IntakeRules
    job_pushes: JobPushes
    crawls: CrawlStore
    crawl_rules: CrawlIntakeRules
    crawl_pushes: CrawlPushes
    callbacks: Callbacks
    calls: BatchClient
    batches: BoundedSemaphore
    """Batches that this process may run at once: two threads are always left for submissions and ticks, however slow
    the remote is.
    """

    @property
    def families(self) -> dict[str, Family[Any, Any, Any]]:
        """The store of every family: what dispatch, sweep, status, doctor, books and health walk over."""
        return {name: runner.store for name, runner in self.runners.items()}

    def close(self) -> None:
        """End the connections."""
        self.calls.close()
        self.redis.close()


def runtime() -> Runtime:
    """The process's runtime; raises `SettingsError`. Connects to nothing yet."""
    with _making:
        return _made()


@cache
def _made() -> Runtime:
    return build(load())


_making = Lock()
"""`cache` alone lets threads that come first together make one each, and all but one of these would be left open."""


def build(settings: Settings) -> Runtime:
    """A runtime from `settings`."""
    redis = connect(settings.redis_url)
    keys = settings.account_keys()
    callbacks = Callbacks(settings.webhook_secret.get_secret_value() if settings.webhook_secret else "")
    task_results = TaskResults(int(settings.result_expires))
    calls = BatchClient(
        timeout=settings.http_timeout, batch_timeout=settings.batch_timeout, max_bytes=settings.max_body_bytes
    )
    job_rules = IntakeRules(tuple(keys), settings.public_url or "", secret=settings.webhook_secret is not None)

    jobs = JobStore(redis, _job_limits(settings), task_results.make)
    job_decider = JobDecider(_policies(settings, settings.deadline))
    job_remote = JobRemote(settings.async_url, keys, calls, lambda receiver, id_: callbacks.url(receiver, "job", id_))
    job_runner = BatchRunner(jobs, job_remote, job_decider, report)

    crawls = CrawlStore(redis, _crawl_limits(settings), task_results.make)
    crawl_decider = CrawlDecider(_policies(settings, settings.crawl_deadline), settings.crawl_grace)
    # Two calls may be made under one lease, each of twice that at the worst.
    one_call = partial(call, timeout=settings.http_timeout / 3)
    crawl_remote = CrawlRemote(
        settings.crawler_url, keys, one_call, lambda receiver, id_: callbacks.url(receiver, "crawl", id_)
    )
    crawl_runner = BatchRunner(crawls, crawl_remote, crawl_decider, report, CLAIMS_FOR_SECONDS)

    return Runtime(
        settings=settings,
        redis=redis,
        runners={runner.store.name: runner for runner in (job_runner, crawl_runner)},
        jobs=jobs,
        job_rules=job_rules,
        job_pushes=JobPushes(jobs, job_decider, report),
        crawls=crawls,
        crawl_rules=CrawlIntakeRules(job_rules, settings.crawl_max_depth, settings.crawl_max_budget),
        crawl_pushes=CrawlPushes(crawls, crawl_remote, crawl_decider, report),
        callbacks=callbacks,
        calls=calls,
        batches=BoundedSemaphore(max(1, settings.worker_threads - SPARE_THREADS)),
    )


def _job_limits(settings: Settings) -> JobLimits:
    return JobLimits(
        lease=settings.lease,
        deadline=settings.deadline,
        max_batches=settings.max_batches,
        keep_ended=int(settings.keep_ended),
        accounts=_account_limits(settings),
        batch_size=settings.batch_size,
        high_entries=settings.results_high_entries,
        high_bytes=settings.results_high_bytes,
    )


def _crawl_limits(settings: Settings) -> CrawlLimits:
    return CrawlLimits(
        lease=settings.lease,
        deadline=settings.crawl_deadline,
        max_batches=settings.max_batches,
        keep_ended=int(settings.keep_ended),
        accounts=_account_limits(settings),
        first_poll=settings.poll_first,
        grace=settings.crawl_grace,
    )


def _account_limits(settings: Settings) -> dict[str, AccountLimit]:
    return {
        name: AccountLimit(limit.per_second or 0.0, limit.open or 0) for name, limit in settings.account_limits.items()
    }


def _policies(settings: Settings, deadline: float) -> Policies:
    return Policies(
        poll_first=settings.poll_first,
        poll_growth=settings.poll_growth,
        poll_ceiling=settings.poll_ceiling,
        poll_jitter=settings.poll_jitter,
        deadline=deadline,
        grace=settings.not_found_grace,
    )
