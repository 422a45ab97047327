"""A job: its steps, the table of its transitions, and its record as a frozen type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from longhaul.ledger.records import Row
from longhaul.ledger.versions import Versions
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.corrupt_records import RecordReader, read_common_fields, refuse_surrogates
from longhaul.work.item import ENDS, Item, State, transitions

TRANSITIONS = transitions(back_to_queue=True)
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


def parse_row(row: Row, pauses: int = 0) -> Job:
    """The job in a row of the present version; raises anything where it cannot be read. An ended job has lost its
    request; its `url` is empty.
    """
    target, options = _document(row.blobs.get("target", "")), _document(row.blobs.get("options", ""))
    common, fields, url = read_common_fields(row, pauses), row.fields, target.get("url", "")
    if not isinstance(url, str) or not (url or common["state"] in ENDS or common["cancelled"]):
        raise ValueError("has no url")
    refuse_surrogates(row.id, fields["lane"])
    return Job(
        **common,
        account=fields["lane"].partition(":")[2],
        request=ScrapeRequest(url=url, **options),
        meta=target.get("meta"),
        callback=fields.get("callback", ""),
        resubmit=int(fields.get("resubmit", 1)),
        losses=int(fields.get("losses", 0)),
    )


def _sound(row: Row, state: State, created: str, *, to_cancel: bool) -> Row:
    fields = {"state": state.value, "queue": "results", "lane": "cancel:default", "created": created}
    if to_cancel:
        return Row(row.id, fields | {"cancel": "1"}, {"target": "{}"})
    return Row(row.id, fields, {"target": '{"url": "http://url.test"}'})


def _document(text: str) -> dict[str, Any]:
    refuse_surrogates(text)
    document = json.loads(text) if text else {}
    if not isinstance(document, dict):
        raise TypeError("is no object")
    return document


RECORDS: RecordReader[Job] = RecordReader(parse_row, _sound, VERSIONS)
