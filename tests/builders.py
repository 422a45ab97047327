"""Builders for many tests: a clock to set, a job, a submission, a store with that clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from redis import Redis

from longhaul.jobs.arguments import NewJob
from longhaul.jobs.job import Job, JobStep
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import Finished, ScrapeRequest, TargetResponse
from longhaul.work.item import State

START = 1_800_000_000.0
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


def a_store(redis: Redis, clock: Clock, **limits: Any) -> JobStore:
    return JobStore(redis, JobLimits(**limits), clock=clock)


def finished(body: str = "hello", **changes: Any) -> Finished:
    return Finished(TargetResponse(200, {"sa-statuscode": "200"}, body=body, **changes))


def submit(store: JobStore, *ids: str, **changes: Any) -> None:
    assert store.submit([(id_, a_submission(**changes)) for id_ in ids], tracked=False) == len(ids)


def claim_one(store: JobStore, step: JobStep) -> Job:
    """Claim the only job that is due for `step`."""
    (job,) = store.claim(step, "default").jobs
    return job


def envelopes(redis: Redis, queue: str = "results") -> list[dict[str, Any]]:
    """Every envelope in a results queue, oldest first."""
    return [json.loads(fields["envelope"]) for _, fields in redis.xrange(stream(queue))]
