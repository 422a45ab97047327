"""The events of crawls that are still to be delivered: claimed under a lease, then delivered, tried again, or given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longhaul.ledger.lua import ScriptCall
from service.crawls.store import DELIVER, TOKEN_LIFE, ServiceCrawls

SUMMARY = "summary"
ENOUGH = 8 * 1024 * 1024
"""Characters of events that one claim brings, so that big pages do not fill the worker's memory."""


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event of a crawl, the caller's until `ends`: its number, or `SUMMARY`, whose document is still to be written;
    `tries` before this one."""

    crawl: str
    number: str
    document: str
    tries: int
    ends: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an event after `tries` tries: over, or to be tried again at `again` (epoch seconds)."""

    event: OutboxEvent
    again: float | None
    tries: int


@dataclass(frozen=True, slots=True)
class ClaimedEvents:
    """What a claim got: the ledger's time (epoch seconds), whether there is more for another round to claim, and the
    events.
    """

    now: float
    more: bool
    events: list[OutboxEvent]


class Outbox:
    """All events of all crawls. `per_crawl`: events of one crawl at once in all rounds, `share` of these in one;
    `lease` in seconds.
    """

    def __init__(self, register: ServiceCrawls, *, per_crawl: int, share: int, lease: float) -> None:
        self._register = register
        self.per_crawl = per_crawl
        self.share = share
        self._lease = lease

    def claim(self, limit: int, token: str = "") -> ClaimedEvents:
        """Claim up to `limit` events, for the round with this token."""
        return self.exchange((), limit, token, {})

    def exchange(
        self, settled: Sequence[Delivered], limit: int, token: str, under_way: Mapping[str, int]
    ) -> ClaimedEvents:
        """Write what became of events and claim up to `limit` others, in one round trip; `under_way`: how many of each
        crawl the round holds.
        """
        lua = self._register.lua
        claim = lua.call(
            "claim_events",
            limit=limit,
            lease=self._lease,
            life=TOKEN_LIFE,
            share=self.share,
            per_crawl=self.per_crawl,
            bytes=ENOUGH,
            token=token,
            held=[{"crawl": crawl, "events": events} for crawl, events in under_way.items()],
        )
        now, more, *rows = lua.run_all([*self._settling(settled), claim])[-1]
        events = [
            OutboxEvent(crawl, number, document, int(tries), ends) for crawl, number, document, tries, ends in rows
        ]
        return ClaimedEvents(float(now), more == 1, events)

    def settle(self, settled: Sequence[Delivered]) -> None:
        """Write what became of events."""
        self._register.lua.run_all(self._settling(settled))

    def _settling(self, settled: Sequence[Delivered]) -> list[ScriptCall]:
        rows = [
            {
                "id": one.event.crawl,
                "number": one.event.number,
                "ends": one.event.ends,
                "retry_at": one.again,
                "tries": one.tries,
            }
            for one in settled
        ]
        return [self._register.lua.call("settle_events", events=rows)] if rows else []

    def dispatch(self, size: int, most: int) -> list[str]:
        """Tokens of the rounds to start now."""
        return self._register.dispatch(DELIVER, size=size, bound=self.per_crawl, share=self.share, most=most)
