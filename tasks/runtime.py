"""The one place where settings become objects. One runtime a process, made at its first use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from threading import BoundedSemaphore

from redis import Redis

from config.queues import BATCHES, HINT_EXPIRES
from config.settings import Settings, load
from jobs.callback import Callbacks
from jobs.decide import Decider
from jobs.flow import Flow
from jobs.intake import Terms
from jobs.policies import Policies
from jobs.remote import Remote
from jobs.store import JobStore, Limits
from ledger.connection import connect
from scraperapi.batch import BatchClient
from tasks.announce import watch
from tasks.outcome import Outcomes

__all__ = ["BATCHES", "HINT_EXPIRES", "Runtime", "build", "runtime"]

SPARE = 2


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the tasks, the receiver and the command work with."""

    settings: Settings
    redis: Redis
    store: JobStore
    flow: Flow
    terms: Terms
    callbacks: Callbacks
    calls: BatchClient
    batches: BoundedSemaphore
    """Batches that this process may run at once: two threads are always left for submissions and ticks, however slow the remote is."""

    def close(self) -> None:
        """End the connections."""
        self.calls.close()
        self.redis.close()


@cache
def runtime() -> Runtime:
    """The process's runtime; raises `SettingsError`. Connects to nothing yet."""
    return build(load())


def build(settings: Settings) -> Runtime:
    """A runtime from `settings`."""
    redis = connect(settings.redis_url)
    limits = Limits(
        lease=settings.lease,
        batch_size=settings.batch_size,
        max_batches=settings.max_batches,
        deadline=settings.deadline,
        keep_ended=int(settings.keep_ended),
        high_entries=settings.results_high_entries,
        high_bytes=settings.results_high_bytes,
    )
    policies = Policies(
        look_first=settings.look_first,
        look_growth=settings.look_growth,
        look_ceiling=settings.look_ceiling,
        look_jitter=settings.look_jitter,
        deadline=settings.deadline,
        grace=settings.not_found_grace,
    )
    store = JobStore(redis, limits, Outcomes(int(settings.result_expires)).note)
    keys = settings.account_keys()
    callbacks = Callbacks(settings.webhook_secret.get_secret_value() if settings.webhook_secret else "")
    calls = BatchClient(timeout=settings.http_timeout, batch_timeout=settings.batch_timeout, max_bytes=settings.max_body_bytes)
    flow = Flow(store, Remote(settings.async_url, keys, calls, callbacks.url), Decider(policies), watch)
    return Runtime(
        settings,
        redis,
        store,
        flow,
        Terms(tuple(keys), settings.public_url or "", secret=settings.webhook_secret is not None),
        callbacks,
        calls,
        BoundedSemaphore(max(1, settings.worker_threads - SPARE)),
    )
