"""The ledger's verbs for crawls. One verb for each transition; nothing else writes a crawl's state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Literal, assert_never

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import COUNTED, RECORDS, TRANSITIONS, VERSIONS, Crawl, CrawlStep, write_request
from longhaul.crawls.decider import Complete, CrawlDecision, CrawlEnd, EndRun, Polled
from longhaul.crawls.envelope import crawl_envelope, end_state, page_envelope, page_key
from longhaul.ledger.async_lua import AsyncLua
from longhaul.ledger.due import Claim, Clock, Due, NewRecord
from longhaul.ledger.lua import ScriptCall, Value
from longhaul.ledger.results import stream
from longhaul.scraperapi.crawl_models import PageEvent, SummaryEvent
from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from longhaul.scraperapi.raw_json import dump_carrying
from longhaul.work.batch import Applied
from longhaul.work.corrupt_records import CorruptRecord
from longhaul.work.decisions import Cancel, Expire, Fail, Pause, Retry, Sent, Snooze
from longhaul.work.family import FamilyKind, FamilyLimits
from longhaul.work.item import State, lane
from longhaul.work.store import Family, MakeTaskResult

SPACE = "longhaul:{crawls}"
SEEN, PREVIOUS = "seen", "previous"
NO_DEADLINE = 1e12
CRAWLS_A_BATCH = 5
"""Due crawls for each batch that is started: a batch makes one call after the other."""
CLAIMS_FOR_SECONDS = 30.0
"""Seconds after which a batch claims no further crawl; the next batch may run in another process."""

EventOutcome = Literal["taken", "complete", "noted", "seen", "dropped", "missing", "foreign", "ahead", "run over"]
"""What became of an event: see `record_pages.lua` and `record_summary.lua` in `longhaul/crawls/scripts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlLimits(FamilyLimits):
    """The store's numbers, in seconds and counts."""

    first_poll: float
    grace: float


class CrawlStore(Family[Crawl, CrawlStep, CrawlDecision]):
    """Crawls in the ledger at `redis`. `make_task_result` makes the task result that a crawl's end leaves; `clock`
    replaces the ledger's time in tests.
    """

    limits: CrawlLimits

    def __init__(
        self,
        redis: Redis,
        limits: CrawlLimits,
        make_task_result: MakeTaskResult | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits
        due = Due(redis, SPACE, TRANSITIONS, clock=clock, own=files("longhaul.crawls") / "scripts", versions=VERSIONS)
        kind = FamilyKind(
            name="crawls",
            noun="crawl",
            steps=CrawlStep,
            sending=CrawlStep.CREATE,
            polling=CrawlStep.POLL,
            cancelling=CrawlStep.CANCEL,
            counted=COUNTED,
            records=RECORDS,
            # The id of a crawl that is paid for. The next poll can find an end again.
            irreplaceable=(Sent,),
            size=CRAWLS_A_BATCH,
            open=1,
        )
        super().__init__(due, kind)
        self._make_task_result = make_task_result

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

    def reread(self, applied: Applied[Crawl, CrawlDecision]) -> Crawl | None:
        """An end has to count every page: where one came since the crawl was read, it counts again. Where another
        worker has claimed the crawl, it does not.
        """
        crawl = applied.item
        if not isinstance(applied.decision, CrawlEnd | EndRun):
            return None
        try:
            present = self.get(crawl.id)
        except CorruptRecord:
            return None
        if present is None or (present.fence, present.run) != (crawl.fence, crawl.run):
            return None
        return replace(present, progress=crawl.progress or present.progress)

    def record_pages(self, crawl: Crawl, *pages: PageEvent) -> ScriptCall:
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

    def record_summary(self, crawl: Crawl, summary: SummaryEvent) -> ScriptCall:
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
        return outcomes(self._due.run(calls))

    def awaited(self, redis: AsyncRedis) -> AsyncLua:
        """What runs the calls from the event loop that `redis` belongs to: see `outcomes`."""
        return self._due.awaited(redis)

    def _claim(self, step: CrawlStep, account: str, token: str) -> Claim:
        return self._due.claim(
            lane(step, account),
            # One call after the other is made, and each may take most of a lease.
            limit=1,
            lease=self.limits.lease,
            count=COUNTED[step],
            cancelled_lane="" if step is CrawlStep.CANCEL else lane(CrawlStep.CANCEL, account),
            step=step,
            token=token,
            # A pause lets nothing through but what has waited too long to be created at all.
            deadline=self.limits.deadline if step is CrawlStep.CREATE else NO_DEADLINE,
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

    def _call(
        self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision, now: float
    ) -> tuple[ScriptCall, Json | None]:
        match decision:
            case Sent() | Snooze() | Retry() | Pause():
                return self._next_action(step, crawl, decision, now), None
            case Polled(due, progress, idle):
                fields = {
                    "progress": dump_json(asdict(progress)).decode(),
                    "idle": "" if idle is None else f"{idle:.3f}",
                }
                return self._move(crawl, crawl.state, step, due, fields), None
            case EndRun(due, _):
                return self._end_run(crawl, decision, due, now)
            case Complete() | Fail() | Expire() | Cancel():
                return self._end(step, crawl, decision, now)
            case _:
                assert_never(decision)

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
        tried = isinstance(decision, Fail) and decision.attempts > 0
        crawl = self._refunded(step, crawl, taken=tried or isinstance(decision, Complete))
        document = crawl_envelope(crawl, decision, now)
        call = self._due.finishing(
            *(crawl.id, crawl.fence, end_state(decision)),
            keep=self.limits.keep_ended,
            stream=stream(crawl.queue),
            envelope=dump_json(document),
            note=self._make_task_result(crawl.id, document) if self._make_task_result else None,
            # The envelope's count of pages is the count of page envelopes, or there is no end yet.
            only_if=("pages", crawl.arrived.pages),
            # Pages that are sent once more after the end are known by them.
            outlive=(SEEN, PREVIOUS),
        )
        return call, document


def outcomes(answers: Sequence[EventOutcome | list[EventOutcome]]) -> list[EventOutcome]:
    """What became of each event: a call with several pages says it of each of them."""
    return [outcome for answer in answers for outcome in ([answer] if isinstance(answer, str) else answer)]
