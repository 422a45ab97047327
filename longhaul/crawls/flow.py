"""The four moves for crawls: claim -> act -> decide -> apply, one crawl after the other; and what is pushed joins at
`take`.

now, crawl = store.claim(step, account)                   atomic, leased, fenced
seen = remote.create | look | cancel (crawl)              the only I/O with the remote
decision = decider.after_create | watch | stop (crawl, seen, now)    pure
store.apply(step, crawl, decision)                        one conditional write
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.crawls.decider import CrawlDecider, CrawlDecision, CrawlEnd, EndRun
from longhaul.crawls.remote import CrawlRemote
from longhaul.crawls.store import AppliedCrawl, CrawlStore, EventOutcome
from longhaul.ledger.connection import AWAY
from longhaul.ledger.lua import ScriptCall
from longhaul.ledger.quarantine import Crash, describe_crash
from longhaul.scraperapi.crawl_models import CrawlProgress, CrawlSeen, PageEvent, SummaryEvent
from longhaul.work.decisions import Pause, Sent, ends_pause

INSIST = 20
AGAIN = 0.5
ROUND = 30.0
"""Seconds after which a round claims no further crawl: another round may go on elsewhere."""

log = logging.getLogger(__name__)


class EventReceipt(StrEnum):
    """What became of a pushed event. `foreign`: it is of no crawl that anybody ordered."""

    TAKEN = "taken"
    DROPPED = "dropped"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"


@dataclass(slots=True)
class CrawlReport:
    """What a round did. `counts`: how often each decision was written, `late` the writes that came too late, `stumbled`
    the crawls that made it raise.
    """

    claimed: int = 0
    more: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    late: int = 0
    crashed: int = 0


@dataclass(frozen=True, slots=True)
class CrawlFlow:
    """`watch` is told of every write that took effect, after it did."""

    store: CrawlStore
    remote: CrawlRemote
    decider: CrawlDecider
    watch: Callable[[Sequence[AppliedCrawl]], None]

    def run_round(
        self, step: CrawlStep, account: str, token: str = "", stopping: Callable[[], bool] = lambda: False
    ) -> CrawlReport:
        """Work off what is due of one step, crawl by crawl, for half a minute at most, and no further once `stopping`."""
        report, until = CrawlReport(), time.monotonic() + ROUND
        own = token or self.store.token(step, account)
        try:
            while True:
                now, crawl, report.more, probe = self.store.claim(step, account, own)
                if crawl is None:
                    return report
                try:
                    self._handle(step, crawl, now, probe, report)
                except AWAY:
                    raise
                except Exception as error:  # noqa: BLE001  (whatever it is, it is this crawl's fault)
                    self.store.count_crashes(
                        step, account, [Crash(crawl.id, crawl.fence, describe_crash("working on it", error))]
                    )
                    report.crashed += 1
                if time.monotonic() > until or stopping():
                    return report
        finally:
            if own:
                # Where the ledger is away the token is given up for lost after its lease.
                with suppress(*AWAY):
                    self.store.leave(step, own)

    def take(self, crawl: Crawl, event: PageEvent | SummaryEvent) -> EventReceipt:
        """Take one event for `crawl`, as read at any time since it was recorded: only what never changes of it is
        relied on.
        """
        while True:
            (became,) = self.store.record([self.taking(crawl, event)])
            if became not in {"run over", "ahead"}:
                return self.settle(crawl.id, became)
            present = self.store.get(crawl.id)
            if present is None:
                return EventReceipt.UNKNOWN
            if became == "ahead":
                self._turn(present, event.run)
                present = self.store.get(crawl.id) or present
            crawl = present

    def taking(self, crawl: Crawl, event: PageEvent | SummaryEvent) -> ScriptCall:
        """The call that takes `event`: for many at once; each answer goes to `settle`, and, where that is impossible,
        its event to `take`.
        """
        match event:
            case PageEvent():
                return self.store.taking(crawl, event)
            case SummaryEvent():
                return self.store.summarising(crawl, event)
            case _:
                assert_never(event)

    def settle(self, crawl_id: str, became: EventOutcome) -> EventReceipt:
        """What an event has led to: perhaps the end of its crawl."""
        match became:
            case "complete":
                self._complete(crawl_id)
                return EventReceipt.TAKEN
            case "taken" | "noted" | "seen":
                return EventReceipt.TAKEN
            case "dropped":
                return EventReceipt.DROPPED
            case "missing":
                return EventReceipt.UNKNOWN
            case "foreign":
                return EventReceipt.FOREIGN
            case "ahead" | "run over":
                raise ValueError(f"{became}: this event has to be taken again")
            case _:
                assert_never(became)

    def _complete(self, crawl_id: str) -> None:
        crawl = self.store.get(crawl_id)
        if crawl is None:
            return
        now = self.store.now()
        decision = self.decider.after_event(crawl, now)
        if decision is not None:
            self._end(CrawlStep.POLL, crawl, decision, now)

    def _turn(self, crawl: Crawl, next_run: int | None) -> None:
        """A page of a later run is there, so this one is over, whatever came of its summary."""
        now = self.store.now()
        turn = EndRun(now + self.store.limits.first_poll, "no summary came before the next run", next_run)
        self._end(CrawlStep.POLL, crawl, turn, now)

    def _handle(self, step: CrawlStep, crawl: Crawl, now: float, probe: bool, report: CrawlReport) -> None:
        seen, decision, now = self._act_and_decide(step, crawl, now)
        applied = (
            self._end(step, crawl, decision, now)
            if isinstance(decision, CrawlEnd | EndRun)
            else self._write(step, crawl, decision, now)
        )
        if probe and not isinstance(decision, Pause) and (isinstance(seen, CrawlProgress) or ends_pause(seen)):
            self.store.resume(step, crawl.account)
        taken = applied.written in {"moved", "finished"}
        report.claimed += 1
        report.late += not taken
        report.counts.update([type(decision).__name__.lower()] if taken else [])

    def _act_and_decide(self, step: CrawlStep, crawl: Crawl, claimed: float) -> tuple[CrawlSeen, CrawlDecision, float]:
        started = time.monotonic()

        def now() -> float:
            # The ledger's time, carried on: this machine's clock may be wrong.
            return claimed + time.monotonic() - started

        match step:
            case CrawlStep.CREATE:
                created = self.remote.create(crawl, self.decider.policies.deadline, claimed)
                return created, self.decider.after_create(crawl, created, now()), now()
            case CrawlStep.POLL:
                looked = self.remote.look(crawl, claimed)
                return looked, self.decider.after_poll(crawl, looked, now()), now()
            case CrawlStep.CANCEL:
                stopped = self.remote.cancel(crawl, claimed)
                return stopped, self.decider.after_cancel(crawl, stopped, now()), now()
            case _:
                assert_never(step)

    def _write(self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision, now: float) -> AppliedCrawl:
        """The remote's id outlasts a restart of the ledger: written again for the length of the lease."""
        until = time.monotonic() + self.store.limits.lease
        while True:
            try:
                applied = self.store.apply(step, crawl, decision, now)
            except AWAY:
                if time.monotonic() > until or not isinstance(decision, Sent):
                    raise
                time.sleep(AGAIN)
            else:
                break
        self._tell(applied)
        return applied

    def _end(self, step: CrawlStep, crawl: Crawl, decision: CrawlDecision, now: float) -> AppliedCrawl:
        """An end counts the pages that are there: where one has come meanwhile, it counts again."""
        applied = self.store.apply(step, crawl, decision, now)
        for _ in range(INSIST):
            if applied.written != "stale":
                break
            present = self.store.get(crawl.id)
            if present is None or (present.fence, present.run) != (crawl.fence, crawl.run):
                break
            crawl = replace(present, progress=crawl.progress or present.progress)
            applied = self.store.apply(step, crawl, decision, now)
        self._tell(applied)
        return applied

    def _tell(self, applied: AppliedCrawl) -> None:
        if applied.written in {"moved", "finished"}:
            self.watch([applied])
