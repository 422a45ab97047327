"""The events of crawls that are not delivered yet: claimed under a lease, and settled as delivered, due again, or given
up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longhaul.ledger.lua import ScriptCall
from longhaul.ledger.portions import PORTION_BYTES
from service.crawls.store import DELIVER, TOKEN_LIFE_SECONDS, ServiceCrawlStore

SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event of a crawl, which is the caller's until `lease_end` (epoch seconds, as text). `number`: or `SUMMARY`,
    whose document is still to be written; `attempts`: before this one.
    """

    crawl_id: str
    number: str
    document: str
    attempts: int
    lease_end: str


@dataclass(frozen=True, slots=True)
class AttemptedDelivery:
    """What became of an event after `attempts` attempts: due again at `retry_at` (epoch seconds), or, where None, over:
    delivered or given up.
    """

    event: OutboxEvent
    retry_at: float | None
    attempts: int


@dataclass(frozen=True, slots=True)
class ClaimedEvents:
    """The result of a claim: the ledger's time (epoch seconds), whether there is more for another round, and the
    events.
    """

    now: float
    more: bool
    events: list[OutboxEvent]


class Outbox:
    """All events of all crawls. `per_crawl`: events of one crawl at once in all rounds, `share` of these in one;
    `lease` in seconds.
    """

    def __init__(self, store: ServiceCrawlStore, *, per_crawl: int, share: int, lease: float) -> None:
        self._store = store
        self._per_crawl = per_crawl
        self._share = share
        self._lease = lease

    def claim(self, limit: int, token: str = "") -> ClaimedEvents:
        """Claim up to `limit` events, for the round with this token."""
        return self.exchange((), limit, token, {})

    def exchange(
        self, settled: Sequence[AttemptedDelivery], limit: int, token: str, under_way: Mapping[str, int]
    ) -> ClaimedEvents:
        """Write what became of events and claim up to `limit` others, in one round trip. `under_way`: how many events
        of each crawl the round holds.
        """
        lua = self._store.lua
        claim = lua.call(
            "claim_events",
            limit=limit,
            lease=self._lease,
            life=TOKEN_LIFE_SECONDS,
            share=self._share,
            per_crawl=self._per_crawl,
            bytes=PORTION_BYTES,
            token=token,
            held=[{"crawl": crawl, "events": events} for crawl, events in under_way.items()],
        )
        now, more, *rows = lua.run_all([*self._settling(settled), claim])[-1]
        events = [
            OutboxEvent(crawl_id, number, document, int(attempts), lease_end)
            for crawl_id, number, document, attempts, lease_end in rows
        ]
        return ClaimedEvents(float(now), more == 1, events)

    def settle(self, settled: Sequence[AttemptedDelivery]) -> None:
        """Write what became of events."""
        self._store.lua.run_all(self._settling(settled))

    def _settling(self, settled: Sequence[AttemptedDelivery]) -> list[ScriptCall]:
        rows = [
            {
                "id": one.event.crawl_id,
                "number": one.event.number,
                "ends": one.event.lease_end,
                "retry_at": one.retry_at,
                "tries": one.attempts,
            }
            for one in settled
        ]
        return [self._store.lua.call("settle_events", events=rows)] if rows else []

    def dispatch(self, size: int, most: int) -> list[str]:
        """Tokens of the rounds to start now."""
        return self._store.dispatch(DELIVER, size=size, bound=self._per_crawl, share=self._share, most=most)
