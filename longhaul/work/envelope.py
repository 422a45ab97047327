"""What every envelope of a job or a crawl has, whatever it was that ended. Keys are absent where there is nothing."""

from __future__ import annotations

from typing import assert_never

from longhaul.scraperapi.models import Json, TargetResponse
from longhaul.timestamps import iso
from longhaul.work.decisions import Cancel, Expire, Fail
from longhaul.work.item import Item, State

BODY_KEYS = ("body", "base64EncodedBody")


def end_state(decision: Fail | Expire | Cancel) -> State:
    """The state that a decision without a result ends a job or a crawl in."""
    match decision:
        case Fail():
            return State.FAILED
        case Expire():
            return State.EXPIRED
        case Cancel():
            return State.CANCELLED
        case _:
            assert_never(decision)


def history(item: Item, attempts: int, now: float) -> Json:
    """What it took, as every envelope of a job or a crawl ends."""
    return {
        "attempts": attempts,
        "polls": item.polls,
        "submissions": item.submissions,
        "submittedAt": iso(item.created),
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
