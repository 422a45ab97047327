"""A crawl: its steps, the table of its transitions, and its record as a frozen type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from longhaul.ledger.due import Row
from longhaul.ledger.results import QUEUE_NAME
from longhaul.ledger.versions import NewerRecord, Versions
from longhaul.scraperapi.crawl_models import CrawlProgress, CrawlRequest, SummaryEvent
from longhaul.work.corrupt_records import CorruptRecord, read_time, repair
from longhaul.work.item import ENDS, Item, State, state_of

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: ENDS | {State.RUNNING},
    # Never back: a crawl that the remote has lost would crawl everything once more.
    State.RUNNING: ENDS,
    **{end: frozenset() for end in ENDS},
}


VERSIONS = Versions()
"""Of a crawl's record."""


class CrawlStep(StrEnum):
    """What a crawl's next action is; its lane in the due index is `<step>:<account>`."""

    CREATE = "create"
    POLL = "poll"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class PageCounts:
    """What has come of the present run: pages, those among them that `failed`, and their credits."""

    pages: int = 0
    failed: int = 0
    credits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawl(Item):
    """One crawl; its `polls` are looks at the progress.

    `run` counts the runs of a recurring crawl from 1. `progress` is what the last poll showed, `idle` since when the
    remote has shown nothing active, `summary` the remote's own, received at `summary_at`. `dropped`: pages that came
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


def read_row(row: Row, pauses: int = 0) -> Crawl:
    """The crawl in a row of the ledger; raises `CorruptRecord`."""
    try:
        return _read(row, pauses)
    except NewerRecord as error:
        raise CorruptRecord(str(error)) from None
    except Exception:  # noqa: BLE001  (a record may hold anything)
        _, wrong = repair(row, Row(row.id, _sound(State.QUEUED, 0.0), {}), _read)
    raise CorruptRecord(f"cannot be read: {', '.join(wrong) or 'its fields together'}")


def repair_for_cancel(row: Row, pauses: int, now: float) -> Crawl:
    """What is left of a record that cannot be read, enough to cancel it: fields that are wrong are as if nobody had
    said anything.
    """
    account = row.fields.get("lane", "").partition(":")[2]
    mended, _ = repair(
        row, Row(row.id, _sound(state_of(row.fields), now) | {"account": account, "cancel": "1"}, {}), _read
    )
    return _read(mended, pauses)


def _sound(state: State, now: float) -> dict[str, str]:
    return {
        "state": state.value,
        "queue": "results",
        "request": '{"start_url": ""}',
        "callback": "",
        "created": f"{now:.3f}",
    }


def _read(row: Row, pauses: int = 0) -> Crawl:
    row = VERSIONS.read(row)
    fields = row.fields
    for text in (row.id, *fields.values()):
        # What was no UTF-8 in the ledger is read as lone surrogates: nobody of ours has written that, and no call could
        # carry it.
        text.encode()
    if not QUEUE_NAME.fullmatch(fields["queue"]):
        raise ValueError("is no queue")

    def time(name: str) -> float | None:
        return read_time(fields[name]) if fields.get(name) else None

    def document(name: str) -> dict[str, Any] | None:
        return json.loads(fields[name]) if fields.get(name) else None

    progress, summary = document("progress"), document("summary")
    return Crawl(
        id=row.id,
        state=State(fields["state"]),
        fence=int(fields.get("fence", 0)),
        account=fields.get("account", ""),
        queue=fields["queue"],
        request=CrawlRequest(**json.loads(fields["request"])),
        meta=document("meta"),
        callback=fields["callback"],
        created=read_time(fields["created"]),
        tracked="tracked" in fields,
        remote_id=fields.get("remote") or None,
        sent=time("sent"),
        polls=int(fields.get("polls", 0)),
        attempts=int(fields.get("attempts", 0)),
        submissions=int(fields.get("submissions", 0)),
        cancelled="cancel" in fields,
        pauses=pauses,
        run=int(fields.get("run", 1)),
        arrived=PageCounts(*(int(fields.get(name, 0)) for name in ("pages", "failed", "credits"))),
        progress=CrawlProgress(**progress) if progress else None,
        idle=time("idle"),
        summary=SummaryEvent(**summary) if summary else None,
        summary_at=time("summary_at"),
        dropped=int(fields.get("dropped", 0)),
    )
