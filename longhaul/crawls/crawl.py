"""A crawl: its steps, the table of its transitions, and its record as a frozen type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from longhaul.ledger.records import Row
from longhaul.ledger.versions import Versions
from longhaul.scraperapi.crawl_models import CrawlProgress, CrawlRequest, SummaryEvent
from longhaul.work.corrupt_records import RecordReader, read_common_fields, read_time, refuse_surrogates
from longhaul.work.item import Item, State, transitions

TRANSITIONS = transitions(back_to_queue=False)
"""Never back to the queue: a crawl that the remote has lost would crawl everything once more."""
VERSIONS = Versions()
"""Of a crawl's record."""


class CrawlStep(StrEnum):
    """What a crawl's next action is; its lane in the due index is `<step>:<account>`."""

    CREATE = "create"
    POLL = "poll"
    CANCEL = "cancel"


COUNTED = {CrawlStep.CREATE: "submissions", CrawlStep.POLL: "polls", CrawlStep.CANCEL: ""}
"""The field that a claim counts up, before the remote is asked; taken back where it was not."""


@dataclass(frozen=True, slots=True)
class PageCounts:
    """What has come of the present run: pages, those among them that `failed`, and their credits."""

    pages: int = 0
    failed: int = 0
    credits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawl(Item):
    """One crawl; its `polls` ask for the progress.

    `run` counts the runs of a recurring crawl from 1. `progress`: what the last poll showed. `idle`: since when the
    remote has shown nothing active. `summary`: the remote's own, which came at `summary_at`. `dropped`: pages that came
    after it was cancelled.
    """

    request: CrawlRequest
    run: int = 1
    arrived: PageCounts = PageCounts()
    progress: CrawlProgress | None = None
    idle: float | None = None
    summary: SummaryEvent | None = None
    summary_at: float | None = None
    dropped: int = 0


def write_request(request: CrawlRequest) -> str:
    """The request as the record holds it: JSON of what is not the default."""
    default = CrawlRequest(request.start_url)
    names = CrawlRequest.__dataclass_fields__
    return json.dumps(
        {name: getattr(request, name) for name in names if getattr(request, name) != getattr(default, name)}
        | {"start_url": request.start_url}
    )


def parse_row(row: Row, pauses: int = 0) -> Crawl:
    """The crawl in a row of the present version; raises anything where it cannot be read."""
    fields = row.fields
    refuse_surrogates(row.id, *fields.values())

    def time(name: str) -> float | None:
        return read_time(fields[name]) if fields.get(name) else None

    def document(name: str) -> dict[str, Any] | None:
        return json.loads(fields[name]) if fields.get(name) else None

    progress, summary = document("progress"), document("summary")
    return Crawl(
        **read_common_fields(row, pauses),
        account=fields.get("account", ""),
        request=CrawlRequest(**json.loads(fields["request"])),
        meta=document("meta"),
        callback=fields["callback"],
        run=int(fields.get("run", 1)),
        arrived=PageCounts(*(int(fields.get(name, 0)) for name in ("pages", "failed", "credits"))),
        progress=CrawlProgress(**progress) if progress else None,
        idle=time("idle"),
        summary=SummaryEvent(**summary) if summary else None,
        summary_at=time("summary_at"),
        dropped=int(fields.get("dropped", 0)),
    )


def _sound(row: Row, state: State, created: str, *, to_cancel: bool) -> Row:
    fields = {
        "state": state.value,
        "queue": "results",
        "request": '{"start_url": ""}',
        "callback": "",
        "created": created,
    }
    if to_cancel:
        fields |= {"account": row.fields.get("lane", "").partition(":")[2], "cancel": "1"}
    return Row(row.id, fields, {})


RECORDS: RecordReader[Crawl] = RecordReader(parse_row, _sound, VERSIONS)
