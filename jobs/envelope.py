"""The envelope: the one final record of a job that reaches the results queue. Keys are absent where there is nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import assert_never

from jobs.decide import Cancel, End, Expire, Fail, Finish
from jobs.job import Job, State
from jobs.subject import Subject
from scraperapi.models import Json, TargetResponse

BODY_KEYS = ("body", "base64EncodedBody")


def end_state(decision: End) -> State:
    """The state that a decision ends a job in."""
    match decision:
        case Finish():
            return State.FINISHED
        case Fail():
            return State.FAILED
        case Expire():
            return State.EXPIRED
        case Cancel():
            return State.CANCELLED
        case _:
            assert_never(decision)


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


def history(subject: Subject, attempts: int, now: float) -> Json:
    """What it took, as every envelope of a job or a crawl ends."""
    return {
        "attempts": attempts,
        "polls": subject.polls,
        "submissions": subject.submissions,
        "submittedAt": iso(subject.created),
        "finishedAt": iso(now),
    }


def target_fields(response: TargetResponse) -> Json:
    """What the target answered, as envelopes carry it."""
    document: Json = {"statusCode": response.status_code, "headers": response.headers}
    if response.base64_body is not None:
        return document | {"base64EncodedBody": response.base64_body}
    return document | {"body": response.body}


def without_body(document: Json) -> Json:
    """What `AsyncResult(id).get()` returns: the envelope less its body."""
    return {key: value for key, value in document.items() if key not in BODY_KEYS}


@lru_cache(maxsize=1024)
def iso(time: float) -> str:
    """ISO 8601 UTC to the millisecond. Remembered, for the jobs of a batch share their times."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
