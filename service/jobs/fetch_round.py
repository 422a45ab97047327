"""One round of fetching runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import structlog

from longhaul.ledger.due import Claim, Row
from service.faults import words
from service.fetching.egress import connector
from service.fetching.fetch import Fetcher, FetchLimits
from service.fetching.retry_policy import (
    Answered,
    Attempt,
    AttemptDecision,
    Completed,
    FetchOutcome,
    GiveUp,
    RetryAt,
    decide,
)
from service.jobs.lane_round import LaneRound, ledger_clock
from service.jobs.runs import Runs, request_of

FETCHES_AT_ONCE = 50
"""Runs that one round fetches at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FetchRound:
    """Fetches runs that are due. `lease_seconds`: how long a claimed run stays claimed; `wake` starts further rounds;
    `stopping`: whether this process is to stop.
    """

    runs: Runs
    limits: FetchLimits
    lease_seconds: float
    wake: Callable[[], object]
    stopping: Callable[[], bool]

    def run(self, token: str) -> int:
        """The round with this token; how many runs it fetched."""
        claim = partial(self.runs.claim_fetches, lease=self.lease_seconds, token=token)
        first = claim(FETCHES_AT_ONCE)
        if first.more:
            self.wake()
        return asyncio.run(self._run(first, claim)) if first.rows else 0

    async def _run(self, first: Claim, claim: Callable[[int], Claim]) -> int:
        clock = ledger_clock(first)
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self.limits.private))
            fetcher = stack.enter_context(Fetcher(connections, limit=self.limits.body_bytes))
            return await LaneRound(
                claim,
                act=lambda row: self._attempt(fetcher, row, clock()),
                settle=lambda done: self._settle(done, clock()),
                weigh=lambda outcome: len(outcome.response) if isinstance(outcome, Answered) else 0,
                size=FETCHES_AT_ONCE,
                stopping=self.stopping,
            ).run(first)

    async def _attempt(self, fetcher: Fetcher, row: Row, now: float) -> FetchOutcome:
        request = request_of(row)
        if request.faults:
            attempts, created = int(row.fields["attempts"]), float(row.fields["created"])
            made_up = words.outcome(request.page, request.faults, attempts, created, now)
            if made_up is not None:
                return made_up
        seconds_left = self.runs.give_up_at(row, request) - now
        return await fetcher.fetch(request.page, self.limits.timeout_seconds(seconds_left))

    def _settle(self, done: Sequence[tuple[Row, FetchOutcome]], now: float) -> None:
        calls = []
        for row, outcome in done:
            request = request_of(row)
            give_up_at = self.runs.give_up_at(row, request)
            attempt = Attempt(int(row.fields["attempts"]), give_up_at, request.page.retry_404)
            decision = decide(attempt, outcome, now)
            log.debug(
                "attempted",
                run=row.id,
                attempts=attempt.attempts,
                decision=type(decision).__name__,
                reason=_reason(decision),
            )
            calls.append(self.runs.settling(row, decision))
        # The ledger refuses the write of a run that was cancelled, or claimed by another round, in the meantime.
        written = self.runs.due.write(calls)
        if any(
            became == "finished" and "callback" in row.fields for became, (row, _) in zip(written, done, strict=True)
        ):
            self.wake()  # a webhook is due now; the ticker would see it up to a second later


def _reason(decision: AttemptDecision) -> str:
    match decision:
        case RetryAt(reason=reason) | GiveUp(reason=reason):
            return reason
        case Completed():
            return ""
        case _:
            assert_never(decision)
