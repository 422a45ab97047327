"""The ledger's verbs for crawls. One verb for each transition; nothing else writes a crawl's state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Literal, assert_never

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from crawls.crawl import TRANSITIONS, Crawl, CrawlStep, read_row, write_request
from crawls.decide import Complete, CrawlDecision, CrawlEnd, Looked, Turn
from crawls.envelope import crawl_envelope, end_state, page_envelope, page_key
from crawls.intake import Order
from jobs.decide import Cancel, Expire, Fail, Hold, Retry, Sent, Snooze
from jobs.job import State
from jobs.store import Noting
from ledger.awaited import AwaitedLua
from ledger.due import Books, Clock, Due, New, Row, Written
from ledger.lua import Call, Value
from ledger.results import stream
from scraperapi.crawl_models import Page, Summary
from scraperapi.models import Json
from scraperapi.protocol import dump_json
from scraperapi.verbatim import dump_carrying

SPACE = "longhaul:{crawls}"
SEEN, FORMER = "seen", "former"
NEVER = 1e12
CRAWLS_A_ROUND = 5
"""Due crawls for each round that is started: a round makes one call after the other."""

Taken = Literal["taken", "complete", "noted", "seen", "dropped", "missing", "foreign", "ahead", "turned"]
"""What became of an event: see `crawls/scripts/take.lua` and `summarise.lua`."""


@dataclass(frozen=True, slots=True)
class CrawlLimits:
    """The store's numbers, in seconds and counts."""

    lease: float = 120.0
    deadline: float = 7 * 24 * 3600.0
    max_batches: int = 32
    keep_ended: int = 24 * 3600
    first_look: float = 2.0
    grace: float = 600.0


@dataclass(frozen=True, slots=True)
class AppliedCrawl:
    """What became of one decision at `now`; `document` is the envelope where it was an end."""

    crawl: Crawl
    decision: CrawlDecision
    written: Written
    now: float
    document: Json | None = None


class CrawlStore:
    """Crawls in the ledger at `redis`. `noting` makes the note that an end leaves; `clock` replaces the ledger's time in tests."""

    def __init__(self, redis: Redis, limits: CrawlLimits, noting: Noting | None = None, clock: Clock | None = None) -> None:
        self.limits = limits
        self._due = Due(redis, SPACE, TRANSITIONS, clock=clock, own=files("crawls") / "scripts")
        self._noting = noting

    def order(self, crawl_id: str, order: Order) -> bool:
        """Record a crawl, queued and due now; whether it was not there yet."""
        fields: dict[str, str | int] = {
            "account": order.account,
            "queue": order.queue,
            "request": write_request(order.request),
            "callback": order.callback,
            "watched": 1,
        }
        if order.meta is not None:
            fields["meta"] = json.dumps(order.meta)
        (fresh,) = self._due.create([New(crawl_id, State.QUEUED, lane(CrawlStep.CREATE, order.account), fields)])
        return fresh

    def claim(self, step: CrawlStep, account: str, token: str = "") -> tuple[float, Crawl | None, bool, bool]:
        """(the ledger's time, a due crawl of one step and account or None, whether there are more, whether it is a probe)."""
        claim = self._due.claim(
            lane(step, account),
            limit=1,
            lease=self.limits.lease,
            count="submissions" if step is CrawlStep.CREATE else "polls" if step is CrawlStep.WATCH else "",
            cancelled_lane="" if step is CrawlStep.STOP else lane(CrawlStep.STOP, account),
            step=step,
            token=token,
            # A pause lets nothing through but what has waited too long to be created at all.
            deadline=self.limits.deadline if step is CrawlStep.CREATE else NEVER,
        )
        crawl = read_row(claim.rows[0], claim.pauses) if claim.rows else None
        return claim.now, crawl, claim.more, claim.probe

    def apply(self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision, now: float) -> AppliedCrawl:
        """Write what was decided; the write is atomic and fenced."""
        call, document = self._call(step, crawl, decision, now)
        (written,) = self._due.run([call])
        if isinstance(decision, Hold):
            self._due.hold(lane(step, crawl.account), decision.until, decision.reason, crawl.pauses)
        return AppliedCrawl(crawl, decision, written, now, document)

    def taking(self, crawl: Crawl, *pages: Page) -> Call:
        """The call that takes page events of one crawl at the remote: for `record`."""
        parts: list[Value] = []
        for page in pages:
            run = page.run if page.run is not None and crawl.request.recurring else crawl.run
            parts += (page_key(page), run, int(run == page.run))
            parts += (dump_carrying(page_envelope(crawl, page, run)), int(page.response is None), page.credits)
        return self._due.calling("take", *self._event(crawl, pages[0].remote_id), stream(crawl.queue), *parts)

    def summarising(self, crawl: Crawl, summary: Summary) -> Call:
        """The call that notes the remote's summary: for `record`."""
        run = summary.run if summary.run is not None and crawl.request.recurring else ""
        told = dump_json(asdict(summary))
        return self._due.calling("summarise", *self._event(crawl, summary.remote_id), run, told, summary.done + summary.failed)

    def record(self, calls: Sequence[Call]) -> list[Taken]:
        """Write events in one round trip, each atomic for itself; says of each what became of it."""
        return each(self._due.run(calls))

    def awaited(self, redis: AsyncRedis) -> AwaitedLua:
        """What runs the calls from the event loop that `redis` belongs to: see `each`."""
        return self._due.awaited(redis)

    def resume(self, step: CrawlStep, account: str) -> None:
        """End the pause of an account's step."""
        self._due.resume(lane(step, account))

    def leave(self, step: CrawlStep, token: str) -> None:
        """Give a token back, so that another may start."""
        self._due.leave(step, token)

    def dispatch(self, step: CrawlStep) -> list[tuple[str, str]]:
        """(account, token) of each round to start now."""
        lanes = [name for name in self._due.lanes() if name.startswith(f"{step}:")]
        started = self._due.dispatch(step, lanes, size=CRAWLS_A_ROUND, most=self.limits.max_batches, lease=self.limits.lease)
        return [(name.partition(":")[2], token) for name, token in started]

    def cancel(self, crawl_id: str) -> tuple[str, str]:
        """Mark a crawl as cancelled. Returns (what became of it, its account): `marked`, `missing`, or the state it has ended in."""
        crawl = self.get(crawl_id)
        if crawl is None:
            return "missing", ""
        return self._due.cancel(crawl_id, lane(CrawlStep.STOP, crawl.account)), crawl.account

    def get(self, crawl_id: str) -> Crawl | None:
        """The crawl, or None where the ledger does not know it (any more)."""
        row: Row | None = self._due.get(crawl_id)
        return read_row(row) if row else None

    def books(self) -> Books:
        """Counters and lanes at one moment; see `jobs.balance`."""
        return self._due.books()

    def now(self) -> float:
        """The ledger's time, epoch seconds."""
        return self._due.now()

    def _event(self, crawl: Crawl, remote_id: str) -> tuple[str | float, ...]:
        lanes = lane(CrawlStep.WATCH, crawl.account), lane(CrawlStep.STOP, crawl.account)
        return crawl.id, remote_id, *lanes, self.limits.first_look, self.limits.grace

    def _call(self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision, now: float) -> tuple[Call, Json | None]:  # noqa: PLR0911  (one line a decision)
        match decision:
            case Sent(remote_id, due):
                return self._move(crawl, State.RUNNING, CrawlStep.WATCH, due, {"remote": remote_id, "sent": f"{now:.3f}"}), None
            case Looked(due, progress, idle):
                fields = {"progress": dump_json(asdict(progress)).decode(), "idle": "" if idle is None else f"{idle:.3f}"}
                return self._move(crawl, crawl.state, step, due, fields), None
            case Snooze(due, _):
                # Where the remote took nothing, the claim's count is taken back.
                return self._move(crawl, crawl.state, step, due, {}, {"submissions": -1} if step is CrawlStep.CREATE else {}), None
            case Retry(due, _):
                return self._move(crawl, crawl.state, step, due, {}, {"attempts": 1}), None
            case Hold():
                refused = {"submissions": -1} if step is CrawlStep.CREATE else {}
                return self._move(crawl, crawl.state, step, crawl.created, {}, refused), None
            case Turn(due, _):
                return self._turn(crawl, decision, due, now)
            case Complete() | Fail() | Expire() | Cancel():
                return self._end(step, crawl, decision, now)
            case _:
                assert_never(decision)

    def _move(self, crawl: Crawl, state: State, step: CrawlStep, due: float, fields: dict[str, str], add: dict[str, int] | None = None) -> Call:
        return self._due.moving(
            *(crawl.id, crawl.fence, state, lane(step, crawl.account), due),
            cancelled_lane=lane(CrawlStep.STOP, crawl.account),
            set_fields=fields,
            add=add,
        )

    def _turn(self, crawl: Crawl, decision: Turn, due: float, now: float) -> tuple[Call, Json]:
        document = crawl_envelope(crawl, decision, now)
        call = self._due.calling(
            "turn",
            *(crawl.id, crawl.fence, crawl.arrived.pages, stream(crawl.queue), dump_json(document)),
            *(lane(CrawlStep.WATCH, crawl.account), f"{due:.3f}", self.limits.keep_ended),
        )
        return call, document

    def _end(self, step: CrawlStep, crawl: Crawl, decision: CrawlEnd, now: float) -> tuple[Call, Json]:
        if step is CrawlStep.CREATE and not (isinstance(decision, Complete) or (isinstance(decision, Fail) and decision.attempts)):
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
            # What is told once more after the end is known by them.
            outlive=(SEEN, FORMER),
        )
        return call, document


def each(answers: Sequence[Taken | list[Taken]]) -> list[Taken]:
    """What became of each event: of pages a call tells it for all of them."""
    return [became for answer in answers for became in ([answer] if isinstance(answer, str) else answer)]


def lane(step: CrawlStep, account: str) -> str:
    """The lane of `step` for `account`."""
    return f"{step}:{account}"
