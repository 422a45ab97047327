"""A caller's arguments, checked once and completely; what is recorded has passed here.

Every error names the argument, the value and the rule. Nothing is recorded where one is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longhaul.errors import InvalidArgument, invalid
from longhaul.scraperapi.fields import (
    breaks_line,
    check_header_name,
    is_object,
    read_method,
    read_seconds,
    read_whole_number,
    secretive,
)
from longhaul.scraperapi.models import Json, ScrapeRequest
from longhaul.work.arguments import (
    DEFAULT_ACCOUNT,
    DEFAULT_QUEUE,
    IntakeRules,
    read_account,
    read_api_params,
    read_callback,
    read_meta,
    read_queue,
    read_url,
)

MAX_BATCH = 50_000
MAX_RESUBMIT = 10
DEFAULT_RESUBMIT = 1
MAX_TIMEOUT_SECONDS = 72 * 3600
ARGUMENTS = (
    "url",
    "method",
    "headers",
    "body",
    "api_params",
    "meta",
    "timeout_sec",
    "queue",
    "account",
    "resubmit",
    "callback",
)
MAX_ERRORS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class NewJob:
    """A checked job, to be recorded. `callback` is an http(s) address of the receiver, or empty for polling only."""

    request: ScrapeRequest
    meta: Json | None = None
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    resubmit: int = DEFAULT_RESUBMIT
    callback: str = ""


def read_new_job(arguments: Mapping[str, Any], rules: IntakeRules) -> NewJob:
    """The job in the keyword arguments of `jobs.submit`; raises `InvalidArgument`."""
    for name in arguments:
        if name not in ARGUMENTS:
            raise secretive(
                name, arguments[name], f"is not an argument of jobs.submit; those are {', '.join(ARGUMENTS)}"
            )
    return NewJob(
        request=ScrapeRequest(
            url=read_url("url", arguments.get("url")),
            method=read_method(arguments.get("method", "GET")),
            headers=_headers(arguments.get("headers")),
            body=_body(arguments.get("body")),
            api_params=read_api_params(arguments.get("api_params")),
            timeout_sec=read_seconds("timeout_sec", arguments.get("timeout_sec"), MAX_TIMEOUT_SECONDS),
        ),
        meta=read_meta(arguments.get("meta")),
        queue=read_queue(arguments.get("queue", DEFAULT_QUEUE)),
        account=read_account(arguments.get("account", DEFAULT_ACCOUNT), rules),
        resubmit=read_whole_number("resubmit", arguments.get("resubmit", DEFAULT_RESUBMIT), 0, MAX_RESUBMIT),
        callback=read_callback(arguments.get("callback"), rules),
    )


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A checked batch: the good entries with their places, and a sentence for each bad one."""

    accepted: list[tuple[int, NewJob]]
    rejected: list[tuple[int, str]]


def read_batch(requests: object, defaults: Mapping[str, Any], rules: IntakeRules) -> CheckedBatch:
    """The jobs of `jobs.submit_batch`: each entry an object of arguments or just a URL. Raises where the list
    itself is wrong.
    """
    if not isinstance(requests, Sequence) or isinstance(requests, str):
        raise secretive("requests", requests, "must be a list of URLs or of objects with the arguments of jobs.submit")
    if not requests:
        raise invalid("requests", requests, "must have at least one entry")
    if len(requests) > MAX_BATCH:
        raise InvalidArgument(f"requests: {len(requests)} entries: at most {MAX_BATCH} in one batch")
    if "url" in defaults:
        raise invalid("url", defaults["url"], "belongs into an entry of requests")
    batch = CheckedBatch([], [])
    for at, entry in enumerate(requests):
        try:
            batch.accepted.append((at, _entry(entry, defaults, rules)))
        except InvalidArgument as error:
            batch.rejected.append((at, str(error)))
    return batch


def refusal(batch: CheckedBatch) -> InvalidArgument:
    """The error for a batch of which nothing is taken."""
    lines = [f"requests[{at}]: {why}" for at, why in batch.rejected[:MAX_ERRORS_SHOWN]]
    more = len(batch.rejected) - len(lines)
    if more:
        lines.append(f"and {more} more")
    total = len(batch.accepted) + len(batch.rejected)
    return InvalidArgument(
        f"{len(batch.rejected)} of {total} entries are wrong and none was taken (partial=True takes the others): "
        + "; ".join(lines)
    )


def _entry(entry: object, defaults: Mapping[str, Any], rules: IntakeRules) -> NewJob:
    if isinstance(entry, str):
        entry = {"url": entry}
    if not isinstance(entry, Mapping):
        raise secretive("entry", entry, "must be a URL or an object with the arguments of jobs.submit")
    return read_new_job({**defaults, **entry}, rules)


def _headers(value: object) -> dict[str, str]:
    headers = {} if value is None else value
    if not is_object(headers):
        raise secretive("headers", value, "must be an object with string keys")
    for name, content in headers.items():
        check_header_name(name)
        if not isinstance(content, str):
            raise secretive(f"headers[{name}]", content, "must be a string")
        if breaks_line(content):
            raise secretive(f"headers[{name}]", content, "must not contain a line break")
    return headers


def _body(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise secretive("body", value, "must be a string; encode an object as JSON or as a form yourself")
    return value
