"""The envelope: the one final record of a job that reaches the results queue. Keys without a value are absent."""

from __future__ import annotations

from typing import assert_never

from longhaul.jobs.decider import End, Finish
from longhaul.jobs.job import Job
from longhaul.scraperapi.models import Json
from longhaul.work.decisions import Cancel, Expire, Fail
from longhaul.work.envelope import end_state as end_without_result
from longhaul.work.envelope import history, target_fields
from longhaul.work.item import State


def end_state(decision: End) -> State:
    """The state that a decision ends a job in."""
    return State.FINISHED if isinstance(decision, Finish) else end_without_result(decision)


def envelope(job: Job, decision: End, now: float) -> Json:
    """The envelope of `job` as it ends at `now` (epoch seconds); times in it are ISO 8601 UTC."""
    document: Json = {"id": job.id, "kind": "job", "status": end_state(decision).value, "url": job.request.url}
    if job.meta is not None:
        document["meta"] = job.meta
    match decision:
        case Finish(response):
            document |= target_fields(response)
            if response.credits is not None:
                document["credits"] = response.credits
        case Fail(reason, _) | Expire(reason):
            document["failReason"] = reason
        case Cancel():
            pass
        case _:
            assert_never(decision)
    if job.remote_id:
        document["remoteId"] = job.remote_id
    return document | history(job, job.attempts + (decision.attempts if isinstance(decision, Fail) else 0), now)
