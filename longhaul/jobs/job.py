"""A job: its states, the table of its transitions, and its record as a frozen type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from longhaul.ledger.due import Row
from longhaul.ledger.results import QUEUE_NAME
from longhaul.ledger.versions import NewerRecord, Versions
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.corrupt_records import CorruptRecord, read_time, repair
from longhaul.work.item import ENDS, Item, State, state_of

TRANSITIONS: dict[State, frozenset[State]] = {
    # Straight to `finished` where the remote pushes the result of a submission whose answer was lost.
    State.QUEUED: ENDS | {State.RUNNING},
    # Back to `queued` where the remote has lost the job.
    State.RUNNING: ENDS | {State.QUEUED},
    **{end: frozenset() for end in ENDS},
}


VERSIONS = Versions()
"""Of a job's record."""


class JobStep(StrEnum):
    """What a job's next action is; its lane in the due index is `<step>:<account>`."""

    SEND = "send"
    POLL = "poll"
    CANCEL = "cancel"


COUNTED = {JobStep.SEND: "submissions", JobStep.POLL: "polls", JobStep.CANCEL: ""}
"""The field that a claim counts up, before the remote is asked; taken back where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Item):
    """One job. `losses` counts the times that the remote lost it; it is submitted again `resubmit` times at most."""

    request: ScrapeRequest
    resubmit: int
    losses: int = 0


def read_row(row: Row, pauses: int = 0) -> Job:
    """The job in a row of the ledger; raises `CorruptRecord`. An ended job has lost its request; its `url` is empty."""
    try:
        return _read(row, pauses)
    except NewerRecord as error:
        raise CorruptRecord(str(error)) from None
    except Exception:  # noqa: BLE001  (a record may hold anything)
        sound = {"state": State.QUEUED.value, "queue": "results", "lane": "send:default", "created": "0"}
        _, wrong = repair(row, Row(row.id, sound, {"subject": '{"url": "http://url.test"}'}), _read)
    raise CorruptRecord(f"cannot be read: {', '.join(wrong) or 'its fields together'}")


def repair_for_cancel(row: Row, pauses: int, now: float) -> Job:
    """What is left of a record that cannot be read, enough to cancel it: fields that are wrong are as if nobody had
    said anything.
    """
    state = state_of(row.fields)
    sound = {"state": state.value, "queue": "results", "lane": "cancel:default", "created": f"{now:.3f}", "cancel": "1"}
    mended, _ = repair(row, Row(row.id, sound, {"subject": "{}"}), _read)
    return _read(mended, pauses)


def _read(row: Row, pauses: int = 0) -> Job:
    row = VERSIONS.read(row)
    fields = row.fields
    subject, options = _document(row.blobs.get("subject", "")), _document(row.blobs.get("options", ""))
    sent, state, url = fields.get("sent"), State(fields["state"]), subject.get("url", "")
    if not isinstance(url, str) or not (url or state in ENDS or "cancel" in fields):
        raise ValueError("has no url")
    for text in (row.id, fields["lane"]):
        # What was no UTF-8 in the ledger is read as lone surrogates: nobody of ours has written that, and no call could
        # carry it.
        text.encode()
    if not QUEUE_NAME.fullmatch(fields["queue"]):
        raise ValueError("is no queue")
    return Job(
        id=row.id,
        state=state,
        fence=int(fields.get("fence", 0)),
        account=fields["lane"].partition(":")[2],
        queue=fields["queue"],
        request=ScrapeRequest(url=url, **options),
        meta=subject.get("meta"),
        resubmit=int(fields.get("resubmit", 1)),
        created=read_time(fields["created"]),
        tracked="tracked" in fields,
        callback=fields.get("callback", ""),
        remote_id=fields.get("remote") or None,
        sent=read_time(sent) if sent else None,
        polls=int(fields.get("polls", 0)),
        attempts=int(fields.get("attempts", 0)),
        submissions=int(fields.get("submissions", 0)),
        losses=int(fields.get("losses", 0)),
        cancelled="cancel" in fields,
        pauses=pauses,
    )


def _document(text: str) -> dict[str, Any]:
    text.encode()
    document = json.loads(text) if text else {}
    if not isinstance(document, dict):
        raise TypeError("is no object")
    return document
