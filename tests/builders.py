"""Builders for many tests: a clock to set, a job, a submission, a store with that clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from redis import Redis

from config.settings import Settings
from longhaul.crawls.store import CrawlLimits
from longhaul.jobs.arguments import NewJob
from longhaul.jobs.job import Job, JobStep
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import Finished, ScrapeRequest, TargetResponse
from longhaul.work.item import State
from longhaul.work.retry_policies import Policies

START = 1_800_000_000.0
DEFAULTS = Settings.model_fields
HOUR = 3600.0


@dataclass
class Clock:
    """The ledger's time; only the test changes it."""

    now: float = START

    def __call__(self) -> float:
        return self.now


def a_job(**changes: Any) -> Job:
    """A running job, submitted and sent at START."""
    fields: dict[str, Any] = {
        "id": "job-1",
        "state": State.RUNNING,
        "fence": 1,
        "account": "default",
        "queue": "results",
        "request": ScrapeRequest("https://example.com/"),
        "meta": None,
        "resubmit": 1,
        "created": START,
        "remote_id": "remote-1",
        "sent": START,
        "submissions": 1,
    }
    return Job(**(fields | changes))


def a_submission(url: str = "https://example.com/", **changes: Any) -> NewJob:
    return NewJob(ScrapeRequest(url), **changes)


def job_limits(**changes: Any) -> JobLimits:
    """The limits of jobs as the settings have them by default, with `changes`."""
    return JobLimits(
        **(
            {
                "lease": DEFAULTS["lease"].default,
                "deadline": DEFAULTS["deadline"].default,
                "max_batches": DEFAULTS["max_batches"].default,
                "keep_ended": int(DEFAULTS["keep_ended"].default),
                "batch_size": DEFAULTS["batch_size"].default,
                "high_entries": DEFAULTS["results_high_entries"].default,
                "high_bytes": DEFAULTS["results_high_bytes"].default,
            }
            | changes
        )
    )


def crawl_limits(**changes: Any) -> CrawlLimits:
    """The limits of crawls as the settings have them by default, with `changes`."""
    return CrawlLimits(
        **(
            {
                "lease": DEFAULTS["lease"].default,
                "deadline": DEFAULTS["crawl_deadline"].default,
                "max_batches": DEFAULTS["max_batches"].default,
                "keep_ended": int(DEFAULTS["keep_ended"].default),
                "first_poll": DEFAULTS["poll_first"].default,
                "grace": DEFAULTS["crawl_grace"].default,
            }
            | changes
        )
    )


def default_policies(**changes: Any) -> Policies:
    """The policies of jobs as the settings have them by default, with `changes`."""
    named = {name: DEFAULTS[name].default for name in ("poll_first", "poll_growth", "poll_ceiling", "poll_jitter")}
    others = {"deadline": DEFAULTS["deadline"].default, "grace": DEFAULTS["not_found_grace"].default}
    return Policies(**(named | others | changes))


def a_store(redis: Redis, clock: Clock, **limits: Any) -> JobStore:
    return JobStore(redis, job_limits(**limits), clock=clock)


def finished(body: str = "hello", **changes: Any) -> Finished:
    return Finished(TargetResponse(200, {"sa-statuscode": "200"}, body=body, **changes))


def submit(store: JobStore, *ids: str, **changes: Any) -> None:
    assert store.submit([(id_, a_submission(**changes)) for id_ in ids], tracked=False) == len(ids)


def claim_one(store: JobStore, step: JobStep) -> Job:
    """Claim the only job that is due for `step`."""
    (job,) = store.claim(step, "default").items
    return job


def envelopes(redis: Redis, queue: str = "results") -> list[dict[str, Any]]:
    """Every envelope in a results queue, oldest first."""
    return [json.loads(fields["envelope"]) for _, fields in redis.xrange(stream(queue))]
