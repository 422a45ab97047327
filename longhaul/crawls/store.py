"""The ledger's verbs for crawls. One verb for each transition; nothing else writes a crawl's state."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Literal, assert_never

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import TRANSITIONS, VERSIONS, Crawl, CrawlStep, read_row, repair_for_cancel, write_request
from longhaul.crawls.decider import Complete, CrawlDecision, CrawlEnd, EndRun, Polled
from longhaul.crawls.envelope import crawl_envelope, end_state, page_envelope, page_key
from longhaul.ledger.async_lua import AsyncLua
from longhaul.ledger.due import Claim, Clock, Due, NewRecord, Row, Written
from longhaul.ledger.lua import ScriptCall, Value
from longhaul.ledger.quarantine import Crash
from longhaul.ledger.results import stream
from longhaul.scraperapi.crawl_models import PageEvent, SummaryEvent
from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from longhaul.scraperapi.raw_json import dump_carrying
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze
from longhaul.work.item import State, lane
from longhaul.work.store import Family, FamilyKind, FamilyLimits, MakeTaskResult

SPACE = "longhaul:{crawls}"
SEEN, PREVIOUS = "seen", "previous"
NEVER = 1e12
CRAWLS_A_ROUND = 5
"""Due crawls for each round that is started: a round makes one call after the other."""
UNREAD = 1000
"""Crawls in a row that cannot be read, after which a round leaves the rest to the next."""

EventOutcome = Literal["taken", "complete", "noted", "seen", "dropped", "missing", "foreign", "ahead", "run over"]
"""What became of an event: see `record_pages.lua` and `record_summary.lua` in `longhaul/crawls/scripts`."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CrawlLimits(FamilyLimits):
    """The store's numbers, in seconds and counts."""

    deadline: float = 7 * 24 * 3600.0
    first_poll: float = 2.0
    grace: float = 600.0


@dataclass(frozen=True, slots=True)
class AppliedCrawl:
    """What became of one decision at `now`; `document` is the envelope where it was an end."""

    crawl: Crawl
    decision: CrawlDecision
    written: Written
    now: float
    document: Json | None = None


class CrawlStore(Family[Crawl, CrawlStep]):
    """Crawls in the ledger at `redis`. `noting` makes the note that an end leaves; `clock` replaces the ledger's time
    in tests.
    """

    def __init__(
        self, redis: Redis, limits: CrawlLimits, noting: MakeTaskResult | None = None, clock: Clock | None = None
    ) -> None:
        self.limits = limits
        due = Due(redis, SPACE, TRANSITIONS, clock=clock, own=files("longhaul.crawls") / "scripts", versions=VERSIONS)
        super().__init__(
            due, limits, FamilyKind("crawl", CrawlStep, CrawlStep.CANCEL, read_row, size=CRAWLS_A_ROUND, open=1)
        )
        self._noting = noting

    def order(self, crawl_id: str, order: NewCrawl) -> bool:
        """Record a crawl, queued and due now; whether it was not there yet."""
        fields: dict[str, str | int] = {
            "account": order.account,
            "queue": order.queue,
            "request": write_request(order.request),
            "callback": order.callback,
            "tracked": 1,
        }
        if order.meta is not None:
            fields["meta"] = json.dumps(order.meta)
        (fresh,) = self._due.create([NewRecord(crawl_id, State.QUEUED, lane(CrawlStep.CREATE, order.account), fields)])
        return fresh

    def claim(self, step: CrawlStep, account: str, token: str = "") -> tuple[float, Crawl | None, bool, bool]:
        """(the ledger's time, a due crawl of one step and account or None, whether there are more, whether it is a
        probe).

        One that cannot be read is counted, and the next is claimed.
        """
        for _ in range(UNREAD):
            claim = self._claim(step, account, token)
            if not claim.rows:
                break
            try:
                return claim.now, _read(step, claim.rows[0], claim), claim.more, claim.probe
            except CorruptRecord as error:
                row = claim.rows[0]
                self.count_crashes(
                    step, account, [Crash(row.id, row.fields.get("fence", "0"), str(error), _counted(step))]
                )
        return claim.now, None, claim.more, claim.probe

    def apply(self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision, now: float) -> AppliedCrawl:
        """Write what was decided; the write is atomic and fenced."""
        call, document = self._call(step, crawl, decision, now)
        (written,) = self._due.run([call])
        if isinstance(decision, Pause):
            self._due.pause(lane(step, crawl.account), decision.until, decision.reason, crawl.pauses)
        return AppliedCrawl(crawl, decision, written, now, document)

    def taking(self, crawl: Crawl, *pages: PageEvent) -> ScriptCall:
        """The call that records page events of one crawl at the remote: for `record`."""
        rows: list[dict[str, Value]] = []
        for page in pages:
            run = page.run if page.run is not None and crawl.request.recurring else crawl.run
            rows.append(
                {
                    "page": page_key(page),
                    "run": run,
                    "stated": run == page.run,
                    "envelope": dump_carrying(page_envelope(crawl, page, run)),
                    "failed": page.response is None,
                    "credits": page.credits,
                }
            )
        event = self._event(crawl, pages[0].remote_id)
        return self._due.calling("record_pages", **event, stream=stream(crawl.queue), pages=rows)

    def summarising(self, crawl: Crawl, summary: SummaryEvent) -> ScriptCall:
        """The call that records the remote's summary: for `record`."""
        return self._due.calling(
            "record_summary",
            **self._event(crawl, summary.remote_id),
            run=summary.run if crawl.request.recurring else None,
            summary=dump_json(asdict(summary)),
            expected=summary.done + summary.failed,
        )

    def record(self, calls: Sequence[ScriptCall]) -> list[EventOutcome]:
        """Write events in one round trip, each atomic for itself; says of each what became of it."""
        return each(self._due.run(calls))

    def awaited(self, redis: AsyncRedis) -> AsyncLua:
        """What runs the calls from the event loop that `redis` belongs to: see `each`."""
        return self._due.awaited(redis)

    def _claim(self, step: CrawlStep, account: str, token: str) -> Claim:
        return self._due.claim(
            lane(step, account),
            limit=1,
            lease=self.limits.lease,
            count=_counted(step),
            cancelled_lane="" if step is CrawlStep.CANCEL else lane(CrawlStep.CANCEL, account),
            step=step,
            token=token,
            # A pause lets nothing through but what has waited too long to be created at all.
            deadline=self.limits.deadline if step is CrawlStep.CREATE else NEVER,
            allowed=self._limit(step, account),
        )

    def _event(self, crawl: Crawl, remote_id: str) -> dict[str, Value]:
        return {
            "id": crawl.id,
            "remote_id": remote_id,
            "poll_lane": lane(CrawlStep.POLL, crawl.account),
            "cancelled_lane": lane(CrawlStep.CANCEL, crawl.account),
            "first_poll": self.limits.first_poll,
            "grace": self.limits.grace,
        }

    def _call(  # noqa: PLR0911  (one line a decision)
        self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision, now: float
    ) -> tuple[ScriptCall, Json | None]:
        match decision:
            case Sent(remote_id, due):
                return self._move(
                    crawl, State.RUNNING, CrawlStep.POLL, due, {"remote": remote_id, "sent": f"{now:.3f}"}
                ), None
            case Polled(due, progress, idle):
                fields = {
                    "progress": dump_json(asdict(progress)).decode(),
                    "idle": "" if idle is None else f"{idle:.3f}",
                }
                return self._move(crawl, crawl.state, step, due, fields), None
            case Snooze(due, _):
                # Where the remote took nothing, the claim's count is taken back.
                return self._move(
                    crawl, crawl.state, step, due, {}, {"submissions": -1} if step is CrawlStep.CREATE else {}
                ), None
            case Retry(due, _):
                return self._move(crawl, crawl.state, step, due, {}, {"attempts": 1}), None
            case Pause():
                refused = {"submissions": -1} if step is CrawlStep.CREATE else {}
                return self._move(crawl, crawl.state, step, crawl.created, {}, refused), None
            case EndRun(due, _):
                return self._end_run(crawl, decision, due, now)
            case Complete() | Fail() | Expire() | Cancel():
                return self._end(step, crawl, decision, now)
            case _:
                assert_never(decision)

    def _move(
        self,
        crawl: Crawl,
        state: State,
        step: CrawlStep,
        due: float,
        fields: dict[str, str],
        add: dict[str, int] | None = None,
    ) -> ScriptCall:
        return self._due.moving(
            *(crawl.id, crawl.fence, state, lane(step, crawl.account), due),
            cancelled_lane=lane(CrawlStep.CANCEL, crawl.account),
            set_fields=fields,
            add=add,
        )

    def _end_run(self, crawl: Crawl, decision: EndRun, due: float, now: float) -> tuple[ScriptCall, Json]:
        document = crawl_envelope(crawl, decision, now)
        call = self._due.calling(
            "end_run",
            id=crawl.id,
            fence=crawl.fence,
            pages=crawl.arrived.pages,
            stream=stream(crawl.queue),
            envelope=dump_json(document),
            poll_lane=lane(CrawlStep.POLL, crawl.account),
            due=due,
            keep=self.limits.keep_ended,
            next_run=decision.next_run or crawl.run + 1,
        )
        return call, document

    def _end(self, step: CrawlStep, crawl: Crawl, decision: CrawlEnd, now: float) -> tuple[ScriptCall, Json]:
        if step is CrawlStep.CREATE and not (
            isinstance(decision, Complete) or (isinstance(decision, Fail) and decision.attempts)
        ):
            # Rejected, or never asked: the remote took nothing, so the claim's count is taken back.
            crawl = replace(crawl, submissions=crawl.submissions - 1)
        document = crawl_envelope(crawl, decision, now)
        call = self._due.finishing(
            *(crawl.id, crawl.fence, end_state(decision)),
            keep=self.limits.keep_ended,
            stream=stream(crawl.queue),
            envelope=dump_json(document),
            note=self._noting(crawl.id, document) if self._noting else None,
            # The envelope's count of pages is the count of page envelopes, or there is no end yet.
            only_if=("pages", crawl.arrived.pages),
            # Pages that are sent once more after the end are known by them.
            outlive=(SEEN, PREVIOUS),
        )
        return call, document


def each(answers: Sequence[EventOutcome | list[EventOutcome]]) -> list[EventOutcome]:
    """What became of each event: the call of several pages has a list."""
    return [became for answer in answers for became in ([answer] if isinstance(answer, str) else answer)]


def _counted(step: CrawlStep) -> str:
    """The field that a claim counts up, before the remote is asked."""
    return "submissions" if step is CrawlStep.CREATE else "polls" if step is CrawlStep.POLL else ""


def _read(step: CrawlStep, row: Row, claim: Claim) -> Crawl:
    try:
        return read_row(row, claim.pauses)
    except CorruptRecord:
        # It is to end, in whatever shape it is.
        if step is CrawlStep.CANCEL:
            return repair_for_cancel(row, claim.pauses, claim.now)
        raise
