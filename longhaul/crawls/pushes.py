"""Events that the remote pushes: pages and summaries. They are recorded as they come; the last one ends its crawl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.crawls.decider import CrawlDecider, CrawlDecision, EndRun
from longhaul.crawls.remote import CrawlRemote
from longhaul.crawls.store import CrawlStore, EventOutcome
from longhaul.errors import WriteRefused
from longhaul.ledger.lua import ScriptCall
from longhaul.scraperapi.crawl_models import CrawlCancelSeen, PageEvent, SummaryEvent
from longhaul.work.batch import Applied
from longhaul.work.durable_write import write_decisions


class EventReceipt(StrEnum):
    """What became of a pushed event. `foreign`: it is of no crawl that anybody ordered."""

    TAKEN = "taken"
    DROPPED = "dropped"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class CrawlPushes:
    """Takes what is pushed for crawls. `on_applied` gets every write that took effect, after it did."""

    store: CrawlStore
    remote: CrawlRemote
    decider: CrawlDecider
    on_applied: Callable[[Sequence[Applied[Crawl, CrawlDecision]]], None]

    def take(self, crawl: Crawl, event: PageEvent | SummaryEvent) -> EventReceipt:
        """Take one event for `crawl`, as read at any time since it was recorded: only what never changes of it is
        relied on.
        """
        while True:
            (outcome,) = self.store.record([self.call_for(crawl, event)])
            if outcome not in {"run over", "ahead"}:
                return self.settle(crawl.id, outcome)
            present = self.store.get(crawl.id)
            if present is None:
                return EventReceipt.UNKNOWN
            if outcome == "ahead":
                self._end_run(present, event.run)
                present = self.store.get(crawl.id) or present
            crawl = present

    def call_for(self, crawl: Crawl, event: PageEvent | SummaryEvent) -> ScriptCall:
        """The call that records `event`: its answer goes to `settle`, or, where that is impossible, the event to
        `take`.
        """
        match event:
            case PageEvent():
                return self.store.record_pages(crawl, event)
            case SummaryEvent():
                return self.store.record_summary(crawl, event)
            case _:
                assert_never(event)

    def settle(self, crawl_id: str, outcome: EventOutcome) -> EventReceipt:
        """What an event has led to: perhaps the end of its crawl."""
        match outcome:
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
                raise ValueError(f"{outcome}: this event has to be taken again")
            case _:
                assert_never(outcome)

    def stop(self, remote_id: str) -> CrawlCancelSeen:
        """Cancel a crawl at the remote that is not on record: its creator died after creating it, and it costs credits."""
        return self.remote.stop(remote_id, self.store.now())

    def _complete(self, crawl_id: str) -> None:
        crawl = self.store.get(crawl_id)
        if crawl is None:
            return
        now = self.store.now()
        decision = self.decider.after_event(crawl, now)
        if decision is not None:
            # Where this is refused, the next poll tries it again: the event is in the ledger.
            self._write(crawl, decision, now)

    def _end_run(self, crawl: Crawl, next_run: int | None) -> None:
        """A page of a later run is there, so this one is over, whatever came of its summary."""
        now = self.store.now()
        first_poll = now + self.store.limits.first_poll
        applied = self._write(crawl, EndRun(first_poll, "no summary came before the next run", next_run), now)
        if applied.written == "refused":
            raise WriteRefused(f"crawl {crawl.id}: {applied.fault}")

    def _write(self, crawl: Crawl, decision: CrawlDecision, now: float) -> Applied[Crawl, CrawlDecision]:
        (applied,) = write_decisions(self.store, CrawlStep.POLL, [(crawl, decision)], now)
        if applied.written == "refused":
            self.store.count_crashes(CrawlStep.POLL, crawl.account, [applied.crash])
        elif applied.took_effect:
            self.on_applied([applied])
        return applied
