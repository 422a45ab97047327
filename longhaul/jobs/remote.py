"""Claimed jobs to calls, answers to what was seen. Knows the accounts' keys and the receiver's addresses; decides
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, assert_never

from longhaul.jobs.job import COUNTED, Job, JobStep
from longhaul.ledger.quarantine import Crash, describe_crash
from longhaul.scraperapi import protocol
from longhaul.scraperapi.models import CancelSeen, NoKey, NothingAsked, PollSeen, Running, Seen, SubmitSeen
from longhaul.scraperapi.protocol import HttpOutcome, HttpRequest

T = TypeVar("T")
CallbackUrl = Callable[[str, str], str]

log = logging.getLogger(__name__)
unknown_statuses: set[str] = set()
"""Statuses that the contract does not know, each logged once by this process."""


class MakesCalls(Protocol):
    """Makes many calls at once: `longhaul.scraperapi.batch_client.BatchClient`."""

    def perform(self, calls: Sequence[tuple[T, HttpRequest]]) -> Iterator[list[tuple[T, HttpOutcome]]]:
        """Answers in groups, as they arrive."""


class JobRemote:
    """The Async API at `base` for the accounts in `keys`. `callback_url(receiver, job id)` gives the address to push
    to.
    """

    def __init__(self, base: str, keys: Mapping[str, str], caller: MakesCalls, callback_url: CallbackUrl) -> None:
        self._base = base
        self._keys = keys
        self._caller = caller
        self._callback_url = callback_url

    def act(self, step: JobStep, jobs: Sequence[Job], deadline: float, now: float) -> Iterator[list[tuple[Job, Any]]]:
        """Make the calls of `step` for all jobs at once; gives what was seen in groups, as the answers arrive.

        Jobs without a call come first, with `NothingAsked` or `NoKey`, and those whose call cannot be made, with a
        `Crash`; one whose answer cannot be read has one, too. `deadline`: age in seconds at which a job is not
        submitted any more.
        """
        calls: list[tuple[Job, HttpRequest]] = []
        idle: list[tuple[Job, Seen | Crash]] = []
        for job in jobs:
            try:
                request = self._request(step, job, deadline, now)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is this job's fault)
                idle.append((job, Crash(job.id, job.fence, describe_crash("making its call", error), COUNTED[step])))
                continue
            if isinstance(request, HttpRequest):
                calls.append((job, request))
            else:
                idle.append((job, request))
        if idle:
            yield idle
        read = _reader(step)
        for group in self._caller.perform(calls):
            yield [(job, _seen(job, read, outcome, now)) for job, outcome in group]

    def _request(self, step: JobStep, job: Job, deadline: float, now: float) -> HttpRequest | NothingAsked | NoKey:
        match step:
            case JobStep.SEND:
                if job.cancelled or now >= job.created + deadline:
                    return NothingAsked()
                if job.account not in self._keys:
                    return NoKey()
                return protocol.submit(
                    self._base,
                    self._keys[job.account],
                    job.request,
                    self._callback_url(job.callback, job.id) if job.callback else None,
                )
            case JobStep.POLL:
                return protocol.poll(self._base, job.remote_id or "")
            case JobStep.CANCEL:
                return protocol.cancel(self._base, job.remote_id) if job.remote_id else NothingAsked()
            case _:
                assert_never(step)


def _seen(job: Job, read: Callable[[HttpOutcome, float], Seen], outcome: HttpOutcome, now: float) -> Seen | Crash:
    try:
        seen = read(outcome, now)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is this answer's fault)
        return Crash(job.id, job.fence, describe_crash("reading its answer", error))
    if isinstance(seen, Running) and seen.status != "running":
        _log_once(seen.status)
    return seen


def _log_once(status: str) -> None:
    if status not in unknown_statuses:
        unknown_statuses.add(status)
        log.warning("the remote answers with an unknown status, taken for a job that still runs: %.80r", status)


def _reader(step: JobStep) -> Callable[[HttpOutcome, float], SubmitSeen | PollSeen | CancelSeen]:
    match step:
        case JobStep.SEND:
            return protocol.read_submitted
        case JobStep.POLL:
            return protocol.read_polled
        case JobStep.CANCEL:
            return protocol.read_cancelled
        case _:
            assert_never(step)
