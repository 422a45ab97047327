"""The events of crawls that are still to be told: taken under a lease, noted as told, tried again, or given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longhaul.ledger.lua import ScriptCall, Value
from service.crawls.store import TELL, TOKEN_LIFE, ServiceCrawls

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
    """What a claim got: the ledger's time (epoch seconds), whether there is more for another round to take, and the
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
        """Take up to `limit` events, for the round with this token."""
        return self.exchange((), limit, token, {})

    def exchange(
        self, told: Sequence[Delivered], limit: int, token: str, under_way: Mapping[str, int]
    ) -> ClaimedEvents:
        """Note what became of events and take up to `limit` others, in one round trip; `under_way`: how many of each
        crawl the round holds.
        """
        held: list[Value] = [part for pair in under_way.items() for part in pair]
        claim = [
            self._register.given_now(),
            limit,
            self._lease,
            TOKEN_LIFE,
            self.share,
            self.per_crawl,
            ENOUGH,
            token,
            *held,
        ]
        now, more, *rows = self._register.lua.run_all([*self._noting(told), ScriptCall("crawl_tell", claim)])[-1]
        events = [
            OutboxEvent(crawl, number, document, int(tries), ends) for crawl, number, document, tries, ends in rows
        ]
        return ClaimedEvents(float(now), more == 1, events)

    def note(self, told: Sequence[Delivered]) -> None:
        """Write what became of events."""
        self._register.lua.run_all(self._noting(told))

    def _noting(self, told: Sequence[Delivered]) -> list[ScriptCall]:
        args: list[Value] = [self._register.given_now()]
        for one in told:
            args += [
                one.event.crawl,
                one.event.number,
                one.event.ends,
                "" if one.again is None else f"{one.again:.3f}",
                one.tries,
            ]
        return [ScriptCall("crawl_told", args)] if told else []

    def dispatch(self, size: int, most: int) -> list[str]:
        """Tokens of the rounds to start now."""
        return self._register.dispatch(TELL, size=size, bound=self.per_crawl, share=self.share, most=most)
