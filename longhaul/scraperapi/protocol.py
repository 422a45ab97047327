"""The Async API as pure functions: build a request, read an answer. No I/O, no clock; both clients share them.

Source of every rule: the contract's Async API page and the vendor's "Job Handling" (`docs/reference/contract.md`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, TypeGuard
from urllib.parse import quote

from pydantic_core import from_json, to_json

from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    CancelSeen,
    Failed,
    Finished,
    Interrupted,
    Json,
    Malformed,
    NotFound,
    PollSeen,
    Refusal,
    Rejected,
    RemoteTrouble,
    Running,
    ScrapeRequest,
    SubmitSeen,
    TargetResponse,
    Throttled,
    TooLarge,
    Unreachable,
)

WORDS_SHOWN = 500
NO_SUCH_JOB = "00000000-0000-4000-8000-000000000000"
LONGEST_ID = 200
MOST_LEVELS = 500
"""Of a document: how deep Python itself reads differs from one version to the next, and what is read is written again."""
# NaN and Infinity are no JSON: handed on, they would break every consumer but Python's.
DECODER = json.JSONDecoder(
    parse_constant=lambda _: None, parse_float=lambda text: number if isfinite(number := float(text)) else None
)
JSON_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One call to the remote, for either client."""

    method: str
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer: status, headers (any case), body as bytes after content decoding."""

    status: int
    headers: Mapping[str, str]
    body: bytes


HttpOutcome = HttpAnswer | Unreachable | Interrupted | TooLarge


def submit(base: str, api_key: str, request: ScrapeRequest, callback_url: str | None = None) -> HttpRequest:
    """`POST /jobs`. Defaults are left out, so that the remote's own apply."""
    body: Json = {"apiKey": api_key, "url": request.url}
    if request.method != "GET":
        body["method"] = request.method
    if request.headers:
        body["headers"] = request.headers
    if request.body is not None:
        body["body"] = request.body
    if request.api_params:
        body["apiParams"] = request.api_params
    if request.timeout_sec is not None:
        body["timeoutSec"] = request.timeout_sec
    if callback_url is not None:
        body["callback"] = {"type": "webhook", "url": callback_url}
        # Without it only successes are pushed, and a failed job would wait for its next poll.
        body["expectUnsuccessReport"] = True
    return HttpRequest("POST", f"{base}/jobs", dump_json(body), JSON_HEADERS)


def poll(base: str, remote_id: str) -> HttpRequest:
    """`GET /jobs/<id>`: status and, once finished, result.

    As documented, without a credential: the id is the capability, and a key in an address ends up in somebody's log.
    """
    return HttpRequest("GET", f"{base}/jobs/{quote(remote_id, safe='')}")


def cancel(base: str, remote_id: str) -> HttpRequest:
    """`DELETE /jobs/<id>`, without a credential like `poll`."""
    return HttpRequest("DELETE", f"{base}/jobs/{quote(remote_id, safe='')}")


def probe(base: str, api_key: str) -> HttpRequest:
    """A poll at a job that does not exist, with the key, as the official client sends it: 404 where all is well, 401
    for a bad key.
    """
    return HttpRequest("GET", f"{base}/jobs/{NO_SUCH_JOB}?api_key={quote(api_key, safe='')}")


def read_submitted(outcome: HttpOutcome, now: float) -> SubmitSeen:
    """What an answer to `submit` shows. `now` (epoch seconds) turns a `Retry-After` date into seconds, here and below."""
    seen = read_document(outcome, now)
    if not isinstance(seen, dict):
        return seen
    remote_id = seen.get("id")
    return Accepted(remote_id) if is_id(remote_id) else Malformed(f"accepted without an id: {_shown(seen)}")


def is_id(value: object) -> TypeGuard[str]:
    """Whether `value` can be a remote id: it has to stand in our ledger and in an address."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isascii() and value.isprintable()


def read_polled(outcome: HttpOutcome, now: float) -> PollSeen:
    """What an answer to `poll` shows."""
    seen = read_document(outcome, now)
    return read_job(seen) if isinstance(seen, dict) else seen


def read_cancelled(outcome: HttpOutcome, now: float) -> CancelSeen:
    """What an answer to `cancel` shows. Any 2xx means that the job is not running any more, whatever its body."""
    if isinstance(outcome, HttpAnswer) and outcome.status // 100 == 2:  # noqa: PLR2004  (2xx)
        return Cancelled()
    seen = read_document(outcome, now)
    return Cancelled() if isinstance(seen, dict) else seen


def read_job(document: Json) -> PollSeen:
    """The same JSON from the status URL or from a webhook."""
    match document.get("status"):
        case "finished":
            return _read_finished(document.get("response"))
        case "failed":
            return Failed(str(document.get("failReason") or "failed without a reason"))
        case "cancelled":
            return Cancelled()
        case str(status):
            return Running(status)
        case _:
            return Malformed(f"no status: {_shown(document)}")


def _read_finished(response: object) -> Finished | Malformed:
    if not isinstance(response, dict):
        return Malformed("finished without a response")
    headers = response.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    status_code = response.get("statusCode", headers.get("sa-statuscode"))
    try:
        code = int(status_code)  # type: ignore[arg-type]  # the except below is the check
    except (TypeError, ValueError, OverflowError):
        return Malformed(f"finished with statusCode {status_code!r}")
    base64_body = response.get("base64EncodedBody")
    if base64_body is not None:
        return Finished(
            TargetResponse(code, headers, base64_body=str(base64_body), credits=_credits(response, headers))
        )
    return Finished(TargetResponse(code, headers, body=response.get("body", ""), credits=_credits(response, headers)))


def _credits(response: Json, headers: Json) -> int | None:
    cost = response.get("credits", headers.get("sa-credit-cost"))
    try:
        return None if cost is None else int(cost)
    except (TypeError, ValueError, OverflowError):
        return None


def read_document(outcome: HttpOutcome, now: float) -> Refusal | Json:
    """The JSON object of a 2xx, or what any other outcome shows."""
    if not isinstance(outcome, HttpAnswer):
        return outcome
    status = outcome.status
    if status // 100 == 2:  # noqa: PLR2004  (2xx)
        try:
            document = load_json(outcome.body)
        except (ValueError, RecursionError) as error:
            return Malformed(f"not JSON ({error}): {outcome.body[:80]!r}")
        return document if isinstance(document, dict) else Malformed(f"not an object: {_shown(document)}")
    return _read_refusal(status, outcome, now)


def _read_refusal(status: int, answer: HttpAnswer, now: float) -> Refusal:
    words = read_words(answer.body)
    match status:
        case 400 | 405 | 411 | 413 | 415 | 422:
            return Rejected(words or f"HTTP {status}")
        case 403 if "max_cost" in words or "max cost" in words.lower():
            # The one 403 that is about this job and not about its account (contract: codes).
            return Rejected(words)
        case 401 | 403:
            return AccountRefused(status, words)
        case 404 | 410:
            return NotFound(gone=status == 410)  # noqa: PLR2004
        case 429 if _header(answer.headers, "sa-statuscode") is None:
            return Throttled(read_retry_after(_header(answer.headers, "retry-after"), now))
        case _:
            return RemoteTrouble(status, words)


def read_words(body: bytes) -> str:
    """What an error's body says: the vendor answers plain text, our service JSON with an `error` field."""
    text = body.decode("utf-8", "replace").strip()
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text[:WORDS_SHOWN]
    if isinstance(document, dict):
        for name in ("error", "message", "detail", "failReason"):
            if isinstance(document.get(name), str):
                # Words go into the ledger and the log, which take no lone surrogate.
                return str(document[name])[:WORDS_SHOWN].encode("utf-8", "replace").decode()
    return text[:WORDS_SHOWN]


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a `Retry-After` of seconds or of a date (RFC 9110, 10.2.3); None where it says neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def load_json(data: bytes) -> Any:
    """The document in `data`. Raises `ValueError` for what is not JSON, `RecursionError` beyond `MOST_LEVELS`."""
    try:
        # A page of 50 KB takes it 30 us, and the standard library 90. It reads no more than 200 levels.
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        # It takes no NaN and no lone surrogate, which others write.
        document = DECODER.decode(data.decode("utf-8", "surrogatepass"))
    level = [document]
    for _ in range(MOST_LEVELS + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return document
    raise RecursionError(f"nested more than {MOST_LEVELS} deep")


def _inside(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def dump_json(value: object) -> bytes:
    """UTF-8 JSON, as short as it gets. A lone surrogate, which JavaScript's JSON may carry, stays an escape."""
    try:
        # A page of 50 KB takes it 70 us, and the standard library 500. Infinity and NaN are no JSON: see DECODER.
        return to_json(value, inf_nan_mode="null")
    except ValueError:
        # A lone surrogate, or nested deeper than it goes.
        return json.dumps(value, separators=(",", ":")).encode()


def _header(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    if value is not None:
        return value
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _shown(document: object) -> str:
    return repr(document)[:80]
