"""Requests to the remote and its answers, as closed unions of frozen types (contract: Async API).

`Seen` is everything that one call to the remote can show. Deciding what follows from it is not done here but in
`longhaul.jobs.decider`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScrapeRequest:
    """One scrape as the remote takes it: `POST /jobs` without key and callback. `timeout_sec` in seconds."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    api_params: Json = field(default_factory=dict)
    timeout_sec: float | None = None


@dataclass(frozen=True, slots=True)
class RawJson:
    """A JSON string as somebody has written it, quotes and all: valid, and carried over unread."""

    text: bytes


@dataclass(frozen=True, slots=True)
class TargetResponse:
    """What the target answered, as the remote hands it over; `status_code` is the target's and may be 403, 404 or 500.

    Exactly one of `body` (a string, `RawJson`, or an object for autoparsed targets) and `base64_body` is set. `credits`
    is None if the remote is silent.
    """

    status_code: int
    headers: Json
    body: Any = None
    base64_body: str | None = None
    credits: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The remote took the job (or has it already) under `remote_id`."""

    remote_id: str


@dataclass(frozen=True, slots=True)
class Running:
    """Not ready. `status` is the remote's word, for the log where it is not `running`."""

    status: str = "running"


@dataclass(frozen=True, slots=True)
class Finished:
    """The result; this may have been the only reading of it there will ever be."""

    response: TargetResponse


@dataclass(frozen=True, slots=True)
class Failed:
    """The remote gave up; `reason` is from an open set."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The remote does not run the job any more because somebody cancelled it."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """404 (unknown id) or 410 (`gone`): the remote does not have the job, not yet or not any more."""

    gone: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """400, or a 403 about this job's own `max_cost`: this request can never work. `words` are the remote's."""

    words: str


@dataclass(frozen=True, slots=True)
class AccountRefused:
    """401 or 403: the account's trouble, so every job's of the account."""

    status: int
    words: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """429 about the account. `retry_after` in seconds, None where the remote does not say."""

    retry_after: float | None


@dataclass(frozen=True, slots=True)
class RemoteTrouble:
    """5xx, or a status code that the contract does not know."""

    status: int
    words: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No connection came about, so the remote has seen nothing of this call."""

    words: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The connection broke or timed out after it stood: the remote may have acted on this call."""

    words: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """2xx whose body is not what the contract says."""

    words: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The answer is longer than `limit` bytes and was not read to its end."""

    limit: int


@dataclass(frozen=True, slots=True)
class NothingAsked:
    """The step needed no call to the remote."""


@dataclass(frozen=True, slots=True)
class NoKey:
    """The call needs the key of an account that this installation does not have (any more)."""


Refusal = (
    NotFound | Rejected | AccountRefused | Throttled | RemoteTrouble | Unreachable | Interrupted | Malformed | TooLarge
)
SubmitSeen = Accepted | NothingAsked | NoKey | Refusal
PollSeen = Running | Finished | Failed | Cancelled | Refusal
CancelSeen = Cancelled | NothingAsked | Refusal
Seen = SubmitSeen | PollSeen | CancelSeen
