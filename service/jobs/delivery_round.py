"""One round of delivering the webhooks of runs that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog

from longhaul.ledger.due import Claim, Row
from service.faults.words import find_fault, read_faults
from service.fetching.egress import connector
from service.fetching.webhooks import (
    DeliveryAccepted,
    DeliveryDelayed,
    DeliveryRefused,
    DeliverySeen,
    NothingToDeliver,
    WebhookSender,
    next_delivery,
)
from service.jobs.documents import result_document
from service.jobs.lane_round import LaneRound, ledger_clock
from service.jobs.runs import Runs

DELIVERIES_AT_ONCE = 20
"""Webhooks that one round delivers at once: each holds its result in memory."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliveryRound:
    """Delivers webhooks that are due. `public_url`: where clients reach the service; `private`: receivers may be at
    private addresses; `lease_seconds`: how long a claimed run stays claimed; `wake` starts further rounds; `stopping`:
    whether this process is to stop.
    """

    runs: Runs
    public_url: str
    private: bool
    lease_seconds: float
    wake: Callable[[], object]
    stopping: Callable[[], bool]

    def run(self, token: str) -> int:
        """The round with this token; how many webhooks it delivered, or tried to."""
        claim = partial(self.runs.claim_deliveries, lease=self.lease_seconds, token=token)
        first = claim(DELIVERIES_AT_ONCE)
        if first.more:
            self.wake()
        return asyncio.run(self._run(first, claim)) if first.rows else 0

    async def _run(self, first: Claim, claim: Callable[[int], Claim]) -> int:
        clock = ledger_clock(first)
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self.private, per_host=DELIVERIES_AT_ONCE))
            sender = stack.enter_context(WebhookSender(connections))
            return await LaneRound(
                claim,
                act=lambda row: self._deliver(sender, row, clock()),
                settle=lambda done: self._settle(done, clock()),
                weigh=lambda _: 0,
                size=DELIVERIES_AT_ONCE,
                stopping=self.stopping,
            ).run(first)

    async def _deliver(self, sender: WebhookSender, row: Row, now: float) -> DeliverySeen:
        result = row.blobs["result"]
        if row.fields["state"] == "finished" and not result:
            return NothingToDeliver()
        faults = read_faults(row.fields.get("faults", ""))
        if (late := find_fault(faults, "late")) and now < (due := float(row.fields["ended"]) + (late.first or 1)):
            return DeliveryDelayed(due)
        document = result_document(self.public_url, row.id, row.fields, result)
        if find_fault(faults, "duplicate"):
            await sender.deliver(row.fields["callback"], document)
        return await sender.deliver(row.fields["callback"], document)

    def _settle(self, done: Sequence[tuple[Row, DeliverySeen]], now: float) -> None:
        calls = []
        for row, seen in done:
            attempts = int(row.fields["deliveries"])
            following = next_delivery(seen, attempts, now)
            if isinstance(seen, DeliveryRefused):
                # Without the address: it may carry a password.
                log.warning(
                    "webhook refused", run=row.id, attempts=attempts, reason=seen.reason, given_up=following.at is None
                )
            calls.append(self.runs.delivering(row, following.at, uncounted=following.uncounted))
        self.runs.due.write(calls)
        self.runs.shorten_results([row.id for row, seen in done if isinstance(seen, DeliveryAccepted)])
