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
    """Writes over `redis`, which belongs to one event loop, what `store` would write from a thread."""

    def __init__(self, store: CrawlStore, redis: Redis) -> None:
        self._store = store
        self._scripts = store.awaited(redis)

    async def record(self, arrivals: Sequence[IncomingEvent]) -> list[EventOutcome]:
        """Write events in one round trip; says of each what became of it. Where one raises, any others may have been
        taken.
        """
        groups = _grouped(arrivals)
        answers = await self._scripts.run_all([self._call([arrivals[at] for at in group]) for group in groups])
        became = dict(zip(chain.from_iterable(groups), outcomes(answers), strict=True))
        return [became[at] for at in range(len(arrivals))]

    def _call(self, arrivals: Sequence[IncomingEvent]) -> ScriptCall:
        crawl, event = arrivals[0]
        if isinstance(event, SummaryEvent):
            return self._store.record_summary(crawl, event)
        return self._store.record_pages(crawl, *(event for _, event in arrivals if isinstance(event, PageEvent)))


def _grouped(arrivals: Sequence[IncomingEvent]) -> list[list[int]]:
    """Where the events stand that one call can take: pages of one crawl, as it was read once, from one remote."""
    groups: dict[Hashable, list[int]] = {}
    for at, (crawl, event) in enumerate(arrivals):
        groups.setdefault((id(crawl), event.remote_id) if isinstance(event, PageEvent) else at, []).append(at)
    return list(groups.values())
