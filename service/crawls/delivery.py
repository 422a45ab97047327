"""Rounds that push the events of crawls: page events as they come, and, when none is left, the summary."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog
import uvloop

from service.batch_runner import Stream
from service.crawls import documents as crawl_documents
from service.crawls.order import CrawlOrder
from service.crawls.outbox import SUMMARY, Delivered, Outbox, OutboxEvent
from service.crawls.store import ServiceCrawls
from service.faults import crawl_faults
from service.fetching import webhooks
from service.fetching.fetch import connector

SIZE = 50
"""Events that one round has under way at once."""
SHARE = 8
"""Events of one crawl that one round has under way at once: a slow receiver holds up its own crawl only."""
PER_CRAWL = 16
"""Events of one crawl under way at once, in all rounds."""
MOST = 4
"""Rounds at once, in all processes: each serves all crawls."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Pushes what is to be told. `private`: receivers may be at private addresses; `stopping`: this process is to stop."""

    register: ServiceCrawls
    tidings: Outbox
    private: bool
    stopping: Callable[[], bool] = lambda: False

    def tell(self, token: str) -> int:
        """One round; how many events it was."""
        taken = self.tidings.claim(SIZE, token)
        return uvloop.run(_Round(self, token, taken.now).run(taken.events)) if taken.events else 0


class _Round:
    """One round: what is known of the crawls, and how many events of each are under way."""

    def __init__(self, teller: Deliverer, token: str, now: float) -> None:
        self._register, self._tidings, self._private = teller.register, teller.tidings, teller.private
        self._stopping = teller.stopping
        self._token = token
        self._orders: dict[str, CrawlOrder | None] = {}
        self._under_way: Counter[str] = Counter()
        self._ledger_ahead = now - time.monotonic()

    async def run(self, events: Sequence[OutboxEvent]) -> int:
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self._private, per_host=0))
            pusher = stack.enter_context(webhooks.Pusher(connections))
            await asyncio.to_thread(self._get_to_know, events)
            return await Stream(
                partial(self._act, pusher), self._exchange, lambda _: 0, SIZE, stopping=self._stopping
            ).run(events)

    def _now(self) -> float:
        """The ledger's time, carried on by this process's own clock."""
        return self._ledger_ahead + time.monotonic()

    def _get_to_know(self, events: Sequence[OutboxEvent]) -> None:
        for event in events:
            if event.crawl not in self._orders:
                self._orders[event.crawl] = self._register.order(event.crawl)
        self._under_way.update(event.crawl for event in events)

    def _exchange(self, done: Sequence[tuple[OutboxEvent, Delivered]], limit: int) -> Sequence[OutboxEvent]:
        told = [one for _, one in done]
        self._under_way.subtract(event.crawl for event, _ in done)
        if not limit:
            self._tidings.settle(told)
            return []
        events = self._tidings.exchange(told, limit, self._token, +self._under_way).events
        self._get_to_know(events)
        return events

    async def _act(self, pusher: webhooks.Pusher, event: OutboxEvent) -> Delivered:
        order = self._orders[event.crawl]
        try:
            push = webhooks.NothingToPush() if order is None else await self._push(pusher, order, event)
        except Exception as error:
            # A bug in here must not take the round's other events with it, again and again.
            log.exception("an event broke", crawl=event.crawl, number=event.number)
            push = webhooks.PushRefused(type(error).__name__)
        tries = event.tries + 1
        follows = webhooks.after(push, tries, self._now())
        if isinstance(push, webhooks.PushRefused):
            # Without the address: it may carry a password. A receiver that is away for a whole crawl must not fill the
            # log.
            tell = log.warning if follows.at is None else log.debug
            tell(
                "event given up" if follows.at is None else "event refused",
                crawl=event.crawl,
                number=event.number,
                words=push.words,
            )
        return Delivered(event, follows.at, tries)

    async def _push(self, pusher: webhooks.Pusher, order: CrawlOrder, event: OutboxEvent) -> webhooks.Push:
        telling = crawl_faults.delivery_faults(order)
        document = event.document.encode()
        if event.number == SUMMARY:
            document = await asyncio.to_thread(self._summary, order, event.crawl)
        if order.callback is None or not document:
            return webhooks.NothingToPush()
        await asyncio.sleep(telling.slow)
        if event.tries < telling.refused:
            return webhooks.PushRefused("HTTP 500, says the fault dial")
        if telling.twice:
            await pusher.push(order.callback, document)
        return await pusher.push(order.callback, document)

    def _summary(self, order: CrawlOrder, crawl_id: str) -> bytes:
        seen = self._register.look(crawl_id)
        return (
            b""
            if seen is None
            else crawl_documents.summary(order, crawl_id, seen.fields, self._register.lists(crawl_id))
        )
