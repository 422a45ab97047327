"""Events of any crawls in one write, from an event loop: the pages of a crawl by one call, so that many cost little
more than one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain

from redis.asyncio import Redis

from longhaul.crawls.crawl import Crawl
from longhaul.crawls.store import CrawlStore, EventOutcome, outcomes
from longhaul.ledger.lua import ScriptCall
from longhaul.scraperapi.crawl_models import PageEvent, SummaryEvent

IncomingEvent = tuple[Crawl, PageEvent | SummaryEvent]
"""An event, and the crawl that it is pushed to, as read at any time since it was recorded."""


class Recorder:
    """Writes over `redis`, a client of one event loop, what `store` would write from a thread."""

    def __init__(self, store: CrawlStore, redis: Redis) -> None:
        self._store = store
        self._scripts = store.awaited(redis)

    async def record(self, arrivals: Sequence[IncomingEvent]) -> list[EventOutcome]:
        """Write events in one round trip; returns the outcome of each. Where one raises, others may have been
        recorded.
        """
        groups = _grouped(arrivals)
        answers = await self._scripts.run_all([self._call([arrivals[at] for at in group]) for group in groups])
        by_place = dict(zip(chain.from_iterable(groups), outcomes(answers), strict=True))
        return [by_place[at] for at in range(len(arrivals))]

    def _call(self, arrivals: Sequence[IncomingEvent]) -> ScriptCall:
        crawl, event = arrivals[0]
        if isinstance(event, SummaryEvent):
            return self._store.record_summary(crawl, event)
        return self._store.record_pages(crawl, *(event for _, event in arrivals if isinstance(event, PageEvent)))


def _grouped(arrivals: Sequence[IncomingEvent]) -> list[list[int]]:
    """The places of the events that one call can record: pages of one crawl, as it was read once, from one remote."""
    groups: dict[Hashable, list[int]] = {}
    for at, (crawl, event) in enumerate(arrivals):
        groups.setdefault((id(crawl), event.remote_id) if isinstance(event, PageEvent) else at, []).append(at)
    return list(groups.values())
