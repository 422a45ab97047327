"""The one place where settings become objects. One runtime a process, made at its first use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from threading import BoundedSemaphore, Lock

from redis import Redis

from config.celery_settings import BATCHES, HINT_EXPIRES
from config.settings import Settings, load
from longhaul.crawls.arguments import CrawlIntakeRules
from longhaul.crawls.decider import CrawlDecider
from longhaul.crawls.flow import CrawlFlow
from longhaul.crawls.remote import CrawlRemote
from longhaul.crawls.store import CrawlLimits, CrawlStore
from longhaul.jobs.decider import Decider
from longhaul.jobs.flow import Flow
from longhaul.jobs.remote import Remote
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.connection import connect
from longhaul.process.shutdown import stopping
from longhaul.scraperapi.batch_client import BatchClient
from longhaul.scraperapi.client import call
from longhaul.work.account_limits import AccountLimit
from longhaul.work.arguments import IntakeRules
from longhaul.work.callbacks import Callbacks
from longhaul.work.retry_policies import Policies
from tasks.plumbing.task_events import watch, watch_crawls
from tasks.plumbing.task_results import TaskResults

__all__ = ["BATCHES", "HINT_EXPIRES", "Runtime", "build", "runtime", "stopping"]

SPARE = 2


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the tasks, the receiver and the command work with."""

    settings: Settings
    redis: Redis
    store: JobStore
    flow: Flow
    terms: IntakeRules
    crawls: CrawlStore
    crawl_flow: CrawlFlow
    crawl_terms: CrawlIntakeRules
    callbacks: Callbacks
    calls: BatchClient
    batches: BoundedSemaphore
    """Batches that this process may run at once: two threads are always left for submissions and ticks, however slow
    the remote is.
    """

    @property
    def families(self) -> dict[str, JobStore | CrawlStore]:
        """Every kind of work by its name: what status, doctor, books and health walk over."""
        return {"jobs": self.store, "crawls": self.crawls}

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
    accounts = {
        name: AccountLimit(limit.per_second or 0.0, limit.open or 0) for name, limit in settings.account_limits.items()
    }
    limits = JobLimits(
        lease=settings.lease,
        batch_size=settings.batch_size,
        max_batches=settings.max_batches,
        deadline=settings.deadline,
        keep_ended=int(settings.keep_ended),
        high_entries=settings.results_high_entries,
        high_bytes=settings.results_high_bytes,
        accounts=accounts,
    )
    policies = Policies(
        poll_first=settings.poll_first,
        poll_growth=settings.poll_growth,
        poll_ceiling=settings.poll_ceiling,
        poll_jitter=settings.poll_jitter,
        deadline=settings.deadline,
        grace=settings.not_found_grace,
    )
    outcomes = TaskResults(int(settings.result_expires))
    store = JobStore(redis, limits, outcomes.note)
    keys = settings.account_keys()
    callbacks = Callbacks(settings.webhook_secret.get_secret_value() if settings.webhook_secret else "")
    calls = BatchClient(
        timeout=settings.http_timeout, batch_timeout=settings.batch_timeout, max_bytes=settings.max_body_bytes
    )
    flow = Flow(
        store,
        Remote(settings.async_url, keys, calls, lambda receiver, id_: callbacks.url(receiver, "job", id_)),
        Decider(policies),
        watch,
    )
    crawl_limits = CrawlLimits(
        lease=settings.lease,
        deadline=settings.crawl_deadline,
        max_batches=settings.max_batches,
        keep_ended=int(settings.keep_ended),
        first_poll=settings.poll_first,
        grace=settings.crawl_grace,
        accounts=accounts,
    )
    crawls = CrawlStore(redis, crawl_limits, outcomes.note)
    # Two calls may be made under one lease, each of twice that at the worst.
    one_call = partial(call, timeout=settings.http_timeout / 3)
    crawl_remote = CrawlRemote(
        settings.crawler_url, keys, one_call, lambda receiver, id_: callbacks.url(receiver, "crawl", id_)
    )
    crawl_decider = CrawlDecider(replace(policies, deadline=settings.crawl_deadline), settings.crawl_grace)
    terms = IntakeRules(tuple(keys), settings.public_url or "", secret=settings.webhook_secret is not None)
    return Runtime(
        settings,
        redis,
        store,
        flow,
        terms,
        crawls,
        CrawlFlow(crawls, crawl_remote, crawl_decider, watch_crawls),
        CrawlIntakeRules(terms, settings.crawl_max_depth, settings.crawl_max_budget),
        callbacks,
        calls,
        BoundedSemaphore(max(1, settings.worker_threads - SPARE)),
    )
