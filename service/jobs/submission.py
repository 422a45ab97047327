"""What a client may ask for: the posted JSON becomes a `RunRequest`, or `InvalidArgument` names the field, the value
and the rule. Pure.

Source: the contract's Async API page. What the service cannot honour is refused and never ignored in silence.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from longhaul.errors import InvalidArgument, invalid
from longhaul.scraperapi.fields import (
    breaks_line,
    check_header_name,
    http_host,
    is_number,
    json_size,
    read_method,
    secretive,
)
from longhaul.scraperapi.models import Json

MOST_URLS = 50_000
LONGEST_URL = 16_384
LONGEST_TIMEOUT = 24 * 3600
DEVICES = ("desktop", "mobile")
FORMATS = ("text", "markdown")

COMMON = frozenset(
    {
        *("apiKey", "api_key", "method", "headers", "body", "meta", "callback", "timeoutSec", "apiParams"),
        # An older page of the vendor spells it with an s.
        *("expectUnsuccessReport", "expectsUnsuccessReport"),
        # Official clients say which of them they are.
        "scraper_sdk",
    }
)
SWITCHES = ("keep_headers", "follow_redirect", "retry_404", "binary_target")
NOT_YET = (
    "render",
    "premium",
    "ultra_premium",
    "screenshot",
    "autoparse",
    "country_code",
    "session_number",
    "wait_for_selector",
)
"""Known to the contract, but beyond this service as yet. `false` and `null` ask for nothing, so they are fine."""

_COMMENT = re.compile(rb"(^|[\s,{\[])(//|/\*)")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One scrape to run. `headers` in lower case; `timeout` in seconds bounds all attempts together, None: the
    service's own bound. `faults`: what the fault dial does to it, filled in by `service.faults.words`."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    keep_headers: bool = False
    follow_redirect: bool = True
    retry_404: bool = False
    binary_target: bool = False
    device_type: str = "desktop"
    output_format: str | None = None
    timeout: float | None = None
    callback: str | None = None
    report_failure: bool = False
    meta: Json | None = None
    faults: str = ""


def read_json(body: bytes) -> Json:
    """The JSON object of a request body."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        hint = "; JSON knows no comments" if _COMMENT.search(body) else ""
        raise InvalidArgument(f"the body is not JSON ({error}{hint})") from None
    if not isinstance(document, dict):
        raise InvalidArgument("the body is not a JSON object")
    return document


def key_of(document: Json) -> str | None:
    """The key, under either of its names."""
    key = document.get("apiKey", document.get("api_key"))
    return key if isinstance(key, str) and key else None


def read_job(document: Json, *, private: bool) -> RunRequest:
    """The one job of a `POST /jobs`. `private`: targets and callbacks may be private addresses."""
    if "urls" in document:
        raise invalid("urls", document["urls"], "a list of URLs goes to /batchjobs")
    return _read(document, "url", document.get("url"), private=private)


def read_batch(document: Json, *, private: bool) -> list[RunRequest]:
    """The jobs of a `POST /batchjobs`, in order; one wrong URL refuses them all, so that nobody pays for half a batch."""
    if "url" in document:
        raise invalid("url", document["url"], "a single URL goes to /jobs; here it is urls, a list")
    urls = document.get("urls")
    if not isinstance(urls, list) or not urls:
        raise invalid("urls", urls, "must be a list of URLs, not empty")
    if len(urls) > MOST_URLS:
        raise InvalidArgument(f"urls: {len(urls)} entries: at most {MOST_URLS} in one batch")
    first = _read(document, "urls[0]", urls[0], private=private)
    return [
        first,
        *(
            replace(first, url=read_url(f"urls[{at}]", url, private=private))
            for at, url in enumerate(urls[1:], start=1)
        ),
    ]


def looks_private(host: str) -> bool:
    """Whether a host is, as written, an address that is not public. Names are judged when they are connected to
    (`service.fetch`).
    """
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        # As the resolver reads it, so that 127.1, 0x7f000001 and 2130706433 are seen through.
        host = socket.inet_ntoa(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fx.]+", host) else host
    except OSError:
        return False
    return is_private(host)


def is_private(address: str) -> bool:
    """Whether an IP address is not public: loopback, private, link-local, reserved, multicast, or a disguise of one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return not ip.is_global or ip.is_multicast


def _read(document: Json, name: str, url: Any, *, private: bool) -> RunRequest:
    for key in document:
        if key not in COMMON and key not in {"url", "urls"}:
            raise invalid(key, document[key], "unknown field")
    report = document.get("expectUnsuccessReport", document.get("expectsUnsuccessReport"))
    return RunRequest(
        url=read_url(name, url, private=private),
        method="GET" if (method := document.get("method")) is None else read_method(method),
        headers=_headers(document.get("headers")),
        body=_body(document.get("body")),
        timeout=_timeout(document.get("timeoutSec")),
        callback=read_callback(document.get("callback"), private=private),
        report_failure=read_switch("expectUnsuccessReport", report) or False,
        meta=read_object("meta", document.get("meta")),
        **read_params("apiParams", document.get("apiParams")),
    )


def read_params(field: str, params: Any) -> dict[str, Any]:
    """How pages are to be fetched, from `apiParams` or, of a crawl, `api_params`: as fields of a `RunRequest`."""
    params = {} if params is None else params
    if not isinstance(params, dict):
        raise invalid(field, params, "must be an object")
    _refuse_unknown(field, params)
    follow = read_switch(f"{field}.follow_redirect", params.get("follow_redirect"))
    return {
        "keep_headers": read_switch(f"{field}.keep_headers", params.get("keep_headers")) or False,
        "follow_redirect": True if follow is None else follow,
        "retry_404": read_switch(f"{field}.retry_404", params.get("retry_404")) or False,
        "binary_target": read_switch(f"{field}.binary_target", params.get("binary_target")) or False,
        "device_type": _choice(f"{field}.device_type", params.get("device_type"), DEVICES) or "desktop",
        "output_format": _choice(f"{field}.output_format", params.get("output_format"), FORMATS),
    }


def _refuse_unknown(field: str, params: Json) -> None:
    for name, value in params.items():
        argument = f"{field}.{name}"
        if name in NOT_YET:
            if not (value is None or value is False or value == "false"):
                raise invalid(argument, value, "not supported by this self-hosted service yet")
        elif name == "max_cost":
            if value is not None and (not is_number(value) or value < 1):
                raise invalid(argument, value, "must be a number of at least 1: every page costs 1 credit here")
        elif name not in (*SWITCHES, "device_type", "output_format", "scraper_sdk"):
            raise invalid(argument, value, "unknown parameter")


def read_url(name: str, url: Any, *, private: bool, secret: bool = False) -> str:
    """An http(s) address, a private one only where those are allowed; `secret`: it may carry a password, so errors do
    not quote it.
    """
    refused = secretive if secret else invalid
    if not isinstance(url, str) or not url:
        raise refused(name, url, "must be an http:// or https:// URL")
    if len(url) > LONGEST_URL:
        raise refused(name, url, f"must not be longer than {LONGEST_URL} characters")
    if not url.isprintable() or " " in url:
        raise refused(name, url, "must not contain spaces, line breaks or control characters")
    host = http_host(name, url, secret=secret)
    if not private and looks_private(host):
        raise refused(name, url, "must not be a private or loopback address")
    return url


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
            # The value stays unsaid: it may be a credential, and errors end up in logs.
            raise InvalidArgument(f"headers.{name}: must not contain line breaks, or characters that are none")
    return {name.lower(): value for name, value in headers.items()}


def _body(body: Any) -> str | None:
    if body is None:
        return None
    if not isinstance(body, str) or not _is_text(body):
        raise invalid("body", body, "must be a string")
    return body


def _timeout(seconds: Any) -> float | None:
    if seconds is None:
        return None
    if not is_number(seconds) or not 0 < seconds <= LONGEST_TIMEOUT:
        raise invalid("timeoutSec", seconds, f"must be a number of seconds, above 0 and at most {LONGEST_TIMEOUT}")
    return float(seconds)


def read_callback(callback: Any, *, private: bool) -> str | None:
    """The address of a webhook, from its object."""
    if callback is None:
        return None
    if not isinstance(callback, dict) or callback.get("type") != "webhook" or callback.keys() - {"type", "url"}:
        raise secretive("callback", callback, 'must be {"type": "webhook", "url": ...}')
    return read_url("callback.url", callback.get("url"), private=private, secret=True)


def read_object(name: str, value: Any, most: float = math.inf) -> Json | None:
    """An object that is echoed back, of at most so many bytes of JSON."""
    if value is not None and not isinstance(value, dict):
        raise invalid(name, value, "must be an object")
    size = json_size(name, value)
    if size > most:
        raise invalid(name, value, f"must be at most {most} bytes of JSON; this is {size}")
    return value


def read_switch(name: str, value: Any) -> bool | None:
    """A bool, also as the word that some clients send; None where nothing is said."""
    match value:
        case None | bool():
            return value
        case "true":
            return True
        case "false":
            return False
        case _:
            raise invalid(name, value, "must be true or false")


def _choice(name: str, value: Any, choices: Iterable[str]) -> str | None:
    if value is not None and value not in choices:
        raise invalid(name, value, f"must be one of {', '.join(choices)}")
    return None if value is None else str(value)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
