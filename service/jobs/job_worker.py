"""What the two batch tasks do: one round of fetching, one round of pushing. Knows no Celery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import assert_never

import structlog

from longhaul.ledger.due import Claim, Row
from service.faults import words as faults
from service.fetching import webhooks
from service.fetching.fetch import Fetcher, connector
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
from service.jobs import documents
from service.jobs.runs import FETCH, WEBHOOK, Runs, submission_of
from service.rounds import Round

SIZE = 50
"""Runs that one round has under way at once."""
PUSHED = 20
"""Webhooks that one round has under way at once: each holds its result in memory."""
SHORTEST_ATTEMPT = 1.0
"""Seconds that the last attempt gets, however little of the run's time is left."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of a round: `attempt` and `lease` in seconds, `body` in bytes; `private`: private targets are fine;
    `most`: rounds of each kind at once, in all processes."""

    attempt: float
    lease: float
    body: int
    private: bool
    most: int


@dataclass(frozen=True, slots=True)
class JobWorker:
    """Works off what is due. `base`: the service's public address; `start(lane, token)` sends the message that starts a
    round elsewhere; `stopping`: this process is to stop."""

    runs: Runs
    limits: FetchLimits
    base: str
    start: Callable[[str, str], None]
    stopping: Callable[[], bool] = lambda: False

    def wake(self) -> None:
        """Start as many rounds as there is due work and room for. Repeating it changes nothing."""
        for lane, size in ((FETCH, SIZE), (WEBHOOK, PUSHED)):
            for _, token in self.runs.due.dispatch(
                lane, [lane], size=size, most=self.limits.most, lease=self.limits.lease
            ):
                self.start(lane, token)

    def fetch(self, token: str) -> None:
        """One round of fetching; `token` as `start` was given it."""
        try:
            if not self.stopping():
                self._fetch(self.runs.claim_fetches(SIZE, self.limits.lease, token), token)
        finally:
            self.runs.due.leave(FETCH, token)

    def deliver(self, token: str) -> None:
        """One round of pushing; `token` as `start` was given it."""
        try:
            if not self.stopping():
                self._deliver(self.runs.claim_deliveries(PUSHED, self.limits.lease, token), token)
        finally:
            self.runs.due.leave(WEBHOOK, token)

    def _fetch(self, claim: Claim, token: str) -> None:
        if claim.more:
            self.wake()
        if claim.rows:
            log.info("fetched", runs=asyncio.run(self._fetch_round(claim, token)))

    def _deliver(self, claim: Claim, token: str) -> None:
        if claim.more:
            self.wake()
        if claim.rows:
            log.info("pushed", runs=asyncio.run(self._push_round(claim, token)))

    async def _fetch_round(self, claim: Claim, token: str) -> int:
        clock = _clock(claim)
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self.limits.private))
            fetcher = stack.enter_context(Fetcher(connections, limit=self.limits.body))

            async def attempt(row: Row) -> FetchOutcome:
                submission, now = submission_of(row), clock()
                if submission.faults:
                    made_up = faults.outcome(submission, int(row.fields["attempts"]), float(row.fields["created"]), now)
                    if made_up is not None:
                        return made_up
                left = self.runs.give_up_at(row, submission) - now
                return await fetcher.fetch(submission, min(self.limits.attempt, max(left, SHORTEST_ATTEMPT)))

            return await Round(
                lambda limit: self.runs.claim_fetches(limit, self.limits.lease, token),
                attempt,
                lambda done: self._settle(done, clock()),
                lambda outcome: len(outcome.response) if isinstance(outcome, Answered) else 0,
                self.stopping,
            ).run(claim, SIZE)

    def _settle(self, done: Sequence[tuple[Row, FetchOutcome]], now: float) -> None:
        calls = []
        for row, outcome in done:
            submission = submission_of(row)
            attempt = Attempt(int(row.fields["attempts"]), self.runs.give_up_at(row, submission), submission.retry_404)
            decided = decide(attempt, outcome, now)
            log.debug(
                "attempted",
                run=row.id,
                attempts=attempt.attempts,
                decided=type(decided).__name__,
                words=_words(decided),
            )
            calls.append(self.runs.settling(row, decided))
        # What was cancelled or claimed by another in the meantime is refused by the ledger, and that is that.
        written = self.runs.due.write(calls)
        if any(
            became == "finished" and "callback" in row.fields for became, (row, _) in zip(written, done, strict=True)
        ):
            self.wake()  # a webhook is due now; the tick would find it up to a second later

    async def _push_round(self, claim: Claim, token: str) -> int:
        clock = _clock(claim)
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(connector(private=self.limits.private, per_host=PUSHED))
            pusher = stack.enter_context(webhooks.Pusher(connections))

            async def push(row: Row) -> webhooks.Push:
                result = row.blobs["result"]
                if row.fields["state"] == "finished" and not result:
                    return webhooks.NothingToPush()
                dial = faults.read(row.fields.get("faults", ""))
                if (late := faults.find(dial, "late")) and clock() < (
                    due := float(row.fields["ended"]) + (late.first or 1)
                ):
                    return webhooks.PushTooEarly(due)
                document = documents.whole(self.base, row.id, row.fields, result)
                if faults.find(dial, "duplicate"):
                    await pusher.push(row.fields["callback"], document)
                return await pusher.push(row.fields["callback"], document)

            return await Round(
                lambda limit: self.runs.claim_deliveries(limit, self.limits.lease, token),
                push,
                lambda done: self._note(done, clock()),
                lambda _: 0,
                self.stopping,
            ).run(claim, PUSHED)

    def _note(self, done: Sequence[tuple[Row, webhooks.Push]], now: float) -> None:
        calls = []
        for row, push in done:
            tries = int(row.fields["deliveries"])
            follows = webhooks.after(push, tries, now)
            if isinstance(push, webhooks.PushRefused):
                # Without the address: it may carry a password.
                log.warning("webhook refused", run=row.id, tries=tries, words=push.words, given_up=follows.at is None)
            calls.append(self.runs.delivering(row, follows.at, uncounted=follows.uncounted))
        self.runs.due.write(calls)
        self.runs.delivered([row.id for row, push in done if isinstance(push, webhooks.PushTaken)])


def _words(decided: AttemptDecision) -> str:
    match decided:
        case RetryAt(words=words) | GiveUp(reason=words):
            return words
        case Completed():
            return ""
        case _:
            assert_never(decided)


def _clock(claim: Claim) -> Callable[[], float]:
    """The ledger's time, carried on by this process's own clock."""
    began = time.monotonic()
    return lambda: claim.now + time.monotonic() - began
