"""The four moves: claim -> act -> decide -> apply. The same for sending, polling and cancelling; a pushed result joins at `decide`.

    claimed = store.claim(step, account)                      atomic, leased, fenced
    for answers in remote.act(step, claimed.jobs):            the only I/O with the remote, many at once
        decided = [decide(job, seen, now) ...]                pure
        store.apply(step, decided)                            one round trip, each write conditional

Answers are applied as they arrive, whatever has come since the last time, and not when the slowest is there: a result that the remote
forgets on reading is never held longer than it takes to parse it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.decide import Decider, Decision, Fail, Finish, Hold, ends_pause
from jobs.job import Job, Step
from jobs.remote import Remote
from jobs.store import Applied, JobStore
from scraperapi.models import Json
from scraperapi.protocol import read_job

INSIST = 5
AGAIN = 0.5


@dataclass(slots=True)
class Report:
    """What a batch did. `counts`: how often each decision was written, `late` the writes that came too late."""

    step: Step
    account: str
    claimed: int
    more: bool
    counts: Counter[str] = field(default_factory=Counter)
    late: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """`watch` is told of every write that took effect, after it did: for the log, and for Flower."""

    store: JobStore
    remote: Remote
    decider: Decider
    watch: Callable[[Sequence[Applied]], None]

    def run_batch(self, step: Step, account: str, token: str = "") -> Report:
        """One batch of one step: claim, act, decide, apply. Raises only where the ledger does not answer."""
        claimed = self.store.claim(step, account, token)
        started = time.monotonic()
        report = Report(step, account, len(claimed.jobs), claimed.more)
        decide = self._decide(step)
        probing = bool(claimed.jobs) and claimed.jobs[0].pauses > 0
        taken: list[Applied] = []
        for answers in self.remote.act(step, claimed.jobs, self.store.limits.deadline, claimed.now):
            # The ledger's time, carried on: this machine's clock may be wrong.
            now = claimed.now + time.monotonic() - started
            decided = [(job, decide(job, seen, now)) for job, seen in answers]
            taken += self._apply(step, decided, now, report)
            held = any(isinstance(decision, Hold) for _, decision in decided)
            if probing and not held and any(ends_pause(seen) for _, seen in answers):
                self.store.resume(step, account)
                # The account is in order again: the others need not wait for the next tick.
                report.more = True
        if not report.more:
            self.store.leave(step, token)
        # Not between the answers: with the broker away this takes seconds, and bodies would wait in memory.
        self.watch(taken)
        return report

    def take_pushed(self, job_id: str, document: Json) -> bool:
        """Take a result that the remote pushed. False where the job is unknown; a job that has ended already stays as it is."""
        job = self.store.get(job_id)
        if job is None:
            return False
        now = self.store.now()
        decision = self.decider.after_look(job, read_job(document), now)
        if isinstance(decision, Fail) and job.remote_id is not None and job.remote_id != document.get("id"):
            return True  # a former submission's failure says nothing about this one
        if isinstance(decision, Finish | Fail):
            self.watch(self._apply(Step.POLL, [(job, decision)], now, Report(Step.POLL, job.account, 1, more=False)))
        return True

    def _apply(self, step: Step, decided: Sequence[tuple[Job, Decision]], now: float, report: Report) -> list[Applied]:
        done = [self._insist(step, applied, now) for applied in self._written(step, decided, now)]
        taken = [applied for applied in done if applied.written in {"moved", "finished"}]
        report.counts.update(type(applied.decision).__name__.lower() for applied in taken)
        report.late += len(done) - len(taken)
        return taken

    def _written(self, step: Step, decided: Sequence[tuple[Job, Decision]], now: float) -> list[Applied]:
        """A result in hand outlasts a restart of the ledger: it is written again until the lease would end. Every write may run twice."""
        until = time.monotonic() + self.store.limits.lease
        while True:
            try:
                return self.store.apply(step, decided, now)
            except (RedisConnectionError, RedisTimeoutError):
                if time.monotonic() > until or not any(isinstance(decision, Finish) for _, decision in decided):
                    raise
                time.sleep(AGAIN)

    def _insist(self, step: Step, applied: Applied, now: float) -> Applied:
        """A result in hand may be the only copy there is: whoever is fenced off with one reads the record again, and ends it as it is now.

        A failure that the remote told of its present submission is such a result; one of a former submission is not.
        """
        for _ in range(INSIST):
            if applied.written != "stale" or not isinstance(applied.decision, Finish | Fail):
                break
            job = self.store.get(applied.job.id)
            if job is None or (isinstance(applied.decision, Fail) and job.remote_id != applied.job.remote_id):
                break
            (applied,) = self.store.apply(step, [(job, applied.decision)], now)
        return applied

    def _decide(self, step: Step) -> Callable[[Job, Any, float], Decision]:
        return {Step.SEND: self.decider.after_send, Step.POLL: self.decider.after_look, Step.CANCEL: self.decider.after_cancel}[step]
