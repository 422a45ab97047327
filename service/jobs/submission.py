"""What a client may ask for: the posted JSON becomes a `RunRequest`, or `InvalidArgument` names the field, the value
and the rule. Pure.

Source: the contract's Async API page. A field that the service does not support is refused, never ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from longhaul.errors import InvalidArgument, invalid
from longhaul.scraperapi.fields import breaks_line, check_header_name, read_method, read_object, read_seconds
from longhaul.scraperapi.models import Json
from service.faults.words import drops_webhooks, split_faults
from service.fetching.request import FetchRequest, read_callback, read_params, read_switch, read_url

MAX_URLS = 50_000
MAX_TIMEOUT_SECONDS = 24 * 3600

FIELDS = frozenset(
    {
        *("apiKey", "api_key", "method", "headers", "body", "meta", "callback", "timeoutSec", "apiParams"),
        # An older page of the vendor's documentation spells it with an s.
        *("expectUnsuccessReport", "expectsUnsuccessReport"),
        # The vendor's clients put their name here.
        "scraper_sdk",
    }
)
"""Fields of a job and of a batch, but for `url` and `urls`."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One scrape to run. `timeout_seconds`: bounds all attempts together, None: the service's own bound;
    `report_failure`: deliver a failure to `callback`, too; `faults`: the fault dial's words.
    """

    page: FetchRequest
    timeout_seconds: float | None = None
    callback: str | None = None
    report_failure: bool = False
    meta: Json | None = None
    faults: str = ""


def read_job(document: Json, *, private: bool) -> RunRequest:
    """The one job of a `POST /jobs`. `private`: targets and callbacks may be private addresses."""
    if "urls" in document:
        raise invalid("urls", document["urls"], "a list of URLs goes to /batchjobs")
    return _read(document, "url", document.get("url"), private=private)


def read_batch(document: Json, *, private: bool) -> list[RunRequest]:
    """The jobs of a `POST /batchjobs`, in order. One wrong URL refuses them all: nobody pays for half a batch."""
    if "url" in document:
        raise invalid("url", document["url"], "a single URL goes to /jobs; here it is urls, a list")
    urls = document.get("urls")
    if not isinstance(urls, list) or not urls:
        raise invalid("urls", urls, "must be a list of URLs, not empty")
    if len(urls) > MAX_URLS:
        raise InvalidArgument(f"urls: {len(urls)} entries: at most {MAX_URLS} in one batch")
    first = _read(document, "urls[0]", urls[0], private=private)
    others = (read_url(f"urls[{at}]", url, private=private) for at, url in enumerate(urls[1:], start=1))
    return [first, *(replace(first, page=replace(first.page, url=url)) for url in others)]


def with_faults(request: RunRequest) -> RunRequest:
    """The request with its fault dial's words, and without the header that may hold them."""
    page, spec = split_faults(request.page)
    if not spec:
        return request
    callback = None if drops_webhooks(spec) else request.callback
    return replace(request, page=page, faults=spec, callback=callback)


def _read(document: Json, name: str, url: Any, *, private: bool) -> RunRequest:
    for key in document:
        if key not in FIELDS and key not in {"url", "urls"}:
            raise invalid(key, document[key], "unknown field")
    report = document.get("expectUnsuccessReport", document.get("expectsUnsuccessReport"))
    return RunRequest(
        FetchRequest(
            url=read_url(name, url, private=private),
            method="GET" if (method := document.get("method")) is None else read_method(method),
            headers=_headers(document.get("headers")),
            body=_body(document.get("body")),
            **read_params("apiParams", document.get("apiParams")),
        ),
        timeout_seconds=read_seconds("timeoutSec", document.get("timeoutSec"), MAX_TIMEOUT_SECONDS),
        callback=read_callback(document.get("callback"), private=private),
        report_failure=read_switch("expectUnsuccessReport", report) or False,
        meta=read_object("meta", document.get("meta")),
    )


def _headers(headers: Any) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict):
        raise invalid("headers", headers, "must be an object of strings")
    for name, value in headers.items():
        check_header_name(name)
        if not isinstance(value, str):
            raise invalid(f"headers.{name}", value, "must be a string")
        if breaks_line(value) or not _is_text(value):
            # Without the value: it may be a credential, and errors are logged.
            raise InvalidArgument(f"headers.{name}: must not contain line breaks, or text that is not valid Unicode")
    return {name.lower(): value for name, value in headers.items()}


def _body(body: Any) -> str | None:
    if body is None:
        return None
    if not isinstance(body, str) or not _is_text(body):
        raise invalid("body", body, "must be a string")
    return body


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
