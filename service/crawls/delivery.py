"""Rounds that deliver the events of crawls: page events as they come, and, when none is left, the summary."""

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

from service.batch_runner import BatchRunner
from service.crawls.documents import summary_document
from service.crawls.order import CrawlOrder
from service.crawls.outbox import SUMMARY, AttemptedDelivery, Outbox, OutboxEvent
from service.crawls.store import ServiceCrawlStore
from service.faults.crawl_faults import delivery_faults
from service.fetching.egress import connector
from service.fetching.webhooks import DeliveryRefused, DeliverySeen, NothingToDeliver, WebhookSender, next_delivery

EVENTS_AT_ONCE = 50
"""Events that one round delivers at once."""
CRAWL_EVENTS_PER_ROUND = 8
"""Events of one crawl that one round delivers at once: a slow receiver holds up its own crawl only."""
CRAWL_EVENTS_AT_ONCE = 16
"""Events of one crawl that all rounds deliver at once."""
MAX_DELIVERY_ROUNDS = 4
"""Rounds at once, in all processes: each of them serves all crawls."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EventDeliverer:
    """Delivers the events that are due. `private`: receivers may be at private addresses; `stopping`: whether this
    process is to stop.
    """

    store: ServiceCrawlStore
    outbox: Outbox
    private: bool
    stopping: Callable[[], bool]

    def deliver(self, token: str) -> int:
        """The round with this token; how many events it had."""
        claimed = self.outbox.claim(EVENTS_AT_ONCE, token)
        return uvloop.run(_EventRound(self, token, claimed.now).run(claimed.events)) if claimed.events else 0


class _EventRound:
    """One round: the orders of its crawls, and how many events of each are under way."""

    def __init__(self, deliverer: EventDeliverer, token: str, now: float) -> None:
        self._store, self._outbox = deliverer.store, deliverer.outbox
        self._private, self._stopping = deliverer.private, deliverer.stopping
        self._token = token
        self._orders: dict[str, CrawlOrder | None] = {}
        self._under_way: Counter[str] = Counter()
        self._ledger_ahead = now - time.monotonic()

    async def run(self, events: Sequence[OutboxEvent]) -> int:
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self._private, per_host=0))
            sender = stack.enter_context(WebhookSender(connections))
            await asyncio.to_thread(self._enter, events)
            return await BatchRunner(
                partial(self._act, sender),
                self._exchange,
                weigh=lambda _: 0,
                size=EVENTS_AT_ONCE,
                stopping=self._stopping,
            ).run(events)

    def _now(self) -> float:
        """The ledger's time (epoch seconds), carried on by this process's own clock."""
        return self._ledger_ahead + time.monotonic()

    def _enter(self, events: Sequence[OutboxEvent]) -> None:
        for event in events:
            if event.crawl_id not in self._orders:
                self._orders[event.crawl_id] = self._store.order(event.crawl_id)
        self._under_way.update(event.crawl_id for event in events)

    def _exchange(self, done: Sequence[tuple[OutboxEvent, AttemptedDelivery]], limit: int) -> Sequence[OutboxEvent]:
        settled = [attempted for _, attempted in done]
        self._under_way.subtract(event.crawl_id for event, _ in done)
        if not limit:
            self._outbox.settle(settled)
            return []
        events = self._outbox.exchange(settled, limit, self._token, +self._under_way).events
        self._enter(events)
        return events

    async def _act(self, sender: WebhookSender, event: OutboxEvent) -> AttemptedDelivery:
        order = self._orders[event.crawl_id]
        seen: DeliverySeen
        try:
            seen = NothingToDeliver() if order is None else await self._deliver(sender, order, event)
        except Exception as error:
            # A bug in here must not fail the other events of the round, which would all be claimed and fail again.
            log.exception("an event raised an unexpected error", crawl=event.crawl_id, number=event.number)
            seen = DeliveryRefused(type(error).__name__)
        attempts = event.attempts + 1
        following = next_delivery(seen, attempts, self._now())
        if isinstance(seen, DeliveryRefused):
            _log_refused(event, seen.reason, given_up=following.at is None)
        return AttemptedDelivery(event, following.at, attempts)

    async def _deliver(self, sender: WebhookSender, order: CrawlOrder, event: OutboxEvent) -> DeliverySeen:
        faults = delivery_faults(order.faults, webhook=order.callback is not None)
        document = event.document.encode()
        if event.number == SUMMARY:
            document = await asyncio.to_thread(self._summary, order, event.crawl_id)
        if order.callback is None or not document:
            return NothingToDeliver()
        await asyncio.sleep(faults.slow)
        if event.attempts < faults.refused:
            return DeliveryRefused("HTTP 500, made up by the fault dial")
        if faults.twice:
            await sender.deliver(order.callback, document)
        return await sender.deliver(order.callback, document)

    def _summary(self, order: CrawlOrder, crawl_id: str) -> bytes:
        snapshot = self._store.snapshot(crawl_id)
        if snapshot is None:
            return b""
        return summary_document(order, crawl_id, snapshot.fields, self._store.run_lists(crawl_id))


def _log_refused(event: OutboxEvent, reason: str, *, given_up: bool) -> None:
    # Without the address: it may carry a password. At DEBUG while it is tried again: a receiver that is away for a
    # whole crawl must not fill the log.
    fields = {"crawl": event.crawl_id, "number": event.number, "reason": reason}
    if given_up:
        log.warning("event given up", **fields)
    else:
        log.debug("event refused", **fields)
