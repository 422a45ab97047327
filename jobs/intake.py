"""A caller's arguments, checked once and completely; what is recorded has passed here.

Every error names the argument, the value and the rule. Nothing is recorded where one is raised.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.results import QUEUE_NAME, QUEUE_RULE
from scraperapi.arguments import breaks_line, check_header_name, http_host, is_number, is_object, json_size, read_method, secretive
from scraperapi.errors import InvalidArgument, invalid
from scraperapi.models import Json, ScrapeRequest

MAX_URL = 8192
MAX_META = 16 * 1024
MAX_BATCH = 50_000
MAX_RESUBMIT = 10
MAX_TIMEOUT = 72 * 3600
CONTROL = re.compile(r"[\x00-\x20\x7f]")
ARGUMENTS = ("url", "method", "headers", "body", "api_params", "meta", "timeout_sec", "queue", "account", "resubmit", "callback")
ERRORS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked submission. `callback` is an http(s) address of the receiver, or empty for polling only."""

    request: ScrapeRequest
    meta: Json | None = None
    queue: str = "results"
    account: str = "default"
    resubmit: int = 1
    callback: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What this installation accepts: the names of its accounts, where the remote can reach its receiver ('' = nowhere), and whether there
    is a secret that makes the receiver's addresses unguessable.
    """

    accounts: Collection[str]
    receiver: str = ""
    secret: bool = False


def read_submission(arguments: Mapping[str, Any], terms: Terms) -> Submission:
    """The submission in the keyword arguments of `jobs.submit`; raises `InvalidArgument`."""
    for name in arguments:
        if name not in ARGUMENTS:
            raise secretive(name, arguments[name], f"is not an argument of jobs.submit; those are {', '.join(ARGUMENTS)}")
    return Submission(
        request=ScrapeRequest(
            url=read_url("url", arguments.get("url")),
            method=read_method(arguments.get("method", "GET")),
            headers=_headers(arguments.get("headers")),
            body=_body(arguments.get("body")),
            api_params=read_api_params(arguments.get("api_params")),
            timeout_sec=_timeout(arguments.get("timeout_sec")),
        ),
        meta=read_meta(arguments.get("meta")),
        queue=read_queue(arguments.get("queue", "results")),
        account=read_account(arguments.get("account", "default"), terms),
        resubmit=_resubmit(arguments.get("resubmit", 1)),
        callback=read_callback(arguments.get("callback"), terms),
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A checked batch: the good entries with their places, and a sentence for each bad one."""

    accepted: list[tuple[int, Submission]]
    rejected: list[tuple[int, str]]


def read_batch(requests: object, defaults: Mapping[str, Any], terms: Terms) -> Batch:
    """The submissions of `jobs.submit_batch`: each entry an object of arguments or just a URL. Raises where the list itself is wrong."""
    if not isinstance(requests, Sequence) or isinstance(requests, str):
        raise secretive("requests", requests, "must be a list of URLs or of objects with the arguments of jobs.submit")
    if not requests:
        raise invalid("requests", requests, "must have at least one entry")
    if len(requests) > MAX_BATCH:
        raise InvalidArgument(f"requests: {len(requests)} entries: at most {MAX_BATCH} in one batch")
    if "url" in defaults:
        raise invalid("url", defaults["url"], "belongs into an entry of requests")
    batch = Batch([], [])
    for at, entry in enumerate(requests):
        try:
            batch.accepted.append((at, _entry(entry, defaults, terms)))
        except InvalidArgument as error:
            batch.rejected.append((at, str(error)))
    return batch


def refusal(batch: Batch) -> InvalidArgument:
    """The error for a batch of which nothing is taken."""
    lines = [f"requests[{at}]: {why}" for at, why in batch.rejected[:ERRORS_SHOWN]]
    more = len(batch.rejected) - len(lines)
    if more:
        lines.append(f"and {more} more")
    total = len(batch.accepted) + len(batch.rejected)
    return InvalidArgument(
        f"{len(batch.rejected)} of {total} entries are wrong and none was taken (partial=True takes the others): " + "; ".join(lines)
    )


def _entry(entry: object, defaults: Mapping[str, Any], terms: Terms) -> Submission:
    if isinstance(entry, str):
        entry = {"url": entry}
    if not isinstance(entry, Mapping):
        raise secretive("entry", entry, "must be a URL or an object with the arguments of jobs.submit")
    return read_submission({**defaults, **entry}, terms)


def read_url(name: str, value: object, *, secret: bool = False) -> str:
    """An http(s) address; `secret`: it may carry a password, so errors do not quote it."""
    refused = secretive if secret else invalid
    if value is None:
        raise InvalidArgument(f"{name}: is missing: every job needs the address of its target")
    if not isinstance(value, str):
        raise refused(name, value, "must be a string")
    if len(value) > MAX_URL:
        raise refused(name, value, f"must be at most {MAX_URL} characters long")
    if CONTROL.search(value):
        raise refused(name, value, "must not contain spaces or control characters; percent-encode them")
    http_host(name, value, secret=secret)
    return value


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


def _object(name: str, value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not is_object(value):
        raise invalid(name, value, "must be an object with string keys")
    return value


def read_api_params(value: object) -> Json:
    """The remote's `apiParams`, which are passed on as they are."""
    params = _object("api_params", value)
    json_size("api_params", params)
    return params


def _timeout(value: object) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not 0 < value <= MAX_TIMEOUT:
        raise invalid("timeout_sec", value, f"must be a number of seconds above 0 and at most {MAX_TIMEOUT}")
    return value


def read_meta(value: object) -> Json | None:
    """What comes back in the envelope."""
    if value is None:
        return None
    meta = _object("meta", value)
    size = json_size("meta", meta)
    if size > MAX_META:
        raise invalid("meta", value, f"must be at most {MAX_META} bytes of JSON; this is {size}")
    return meta


def read_queue(value: object) -> str:
    """The name of a results queue."""
    # A name with a colon could escape its key space.
    if not isinstance(value, str) or not QUEUE_NAME.fullmatch(value):
        raise invalid("queue", value, QUEUE_RULE)
    return value


def read_account(value: object, terms: Terms) -> str:
    """The name of an account of this installation."""
    if not isinstance(value, str) or value not in terms.accounts:
        known = ", ".join(sorted(terms.accounts)) or "none: set LONGHAUL_API_KEY"
        raise invalid("account", value, f"is not an account of this installation ({known})")
    return value


def _resubmit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RESUBMIT:
        raise invalid("resubmit", value, f"must be a whole number from 0 to {MAX_RESUBMIT}")
    return value


def read_callback(value: object, terms: Terms) -> str:
    """The receiver's address, empty for polling only."""
    match value:
        case None:
            return terms.receiver
        case False:
            return ""
        case True if terms.receiver:
            return terms.receiver
        case True:
            raise invalid("callback", value, "needs LONGHAUL_PUBLIC_URL to be set where the workers run")
        case _:
            address = read_url("callback", value, secret=True).rstrip("/")
            if not terms.secret:
                raise secretive("callback", value, "needs LONGHAUL_WEBHOOK_SECRET to be set where the workers and the receiver run")
            return address
