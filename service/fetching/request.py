"""The request for one page, and the readers of the fields that jobs and crawls have in common. Pure.

Source: the contract's Async API and Crawler API pages. A parameter that the service does not support is refused, never
ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from longhaul.errors import invalid
from longhaul.scraperapi.fields import http_host, is_number, read_choice, secretive
from longhaul.scraperapi.models import Json
from service.fetching.egress import looks_private

MAX_URL_CHARACTERS = 16_384
DEVICES = ("desktop", "mobile")
FORMATS = ("text", "markdown")
SWITCHES = ("keep_headers", "follow_redirect", "retry_404", "binary_target")
UNSUPPORTED = (
    "render",
    "premium",
    "ultra_premium",
    "screenshot",
    "autoparse",
    "country_code",
    "session_number",
    "wait_for_selector",
)
"""Parameters of the contract that this service does not support. `false` and `null` ask for nothing, so they pass."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """The request for one page. `headers` in lower case; `output_format` one of `FORMATS`, None: no conversion."""

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


def read_params(field: str, params: Any) -> dict[str, Any]:
    """`apiParams` of a job, or `api_params` of a crawl, as fields of a `FetchRequest`."""
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


def read_url(name: str, url: Any, *, private: bool, secret: bool = False) -> str:
    """An http(s) address. `private`: it may be a private one; `secret`: it may carry a password, so errors do not quote
    it.
    """
    refused = secretive if secret else invalid
    if not isinstance(url, str) or not url:
        raise refused(name, url, "must be an http:// or https:// URL")
    if len(url) > MAX_URL_CHARACTERS:
        raise refused(name, url, f"must not be longer than {MAX_URL_CHARACTERS} characters")
    if not url.isprintable() or " " in url:
        raise refused(name, url, "must not contain spaces, line breaks or control characters")
    host = http_host(name, url, secret=secret)
    if not private and looks_private(host):
        raise refused(name, url, "must not be a private or loopback address")
    return url


def read_callback(callback: Any, *, private: bool) -> str | None:
    """The address of a webhook, from the object that names it. `private`: it may be a private one."""
    if callback is None:
        return None
    if not isinstance(callback, dict) or callback.get("type") != "webhook" or callback.keys() - {"type", "url"}:
        raise secretive("callback", callback, 'must be {"type": "webhook", "url": ...}')
    return read_url("callback.url", callback.get("url"), private=private, secret=True)


def read_switch(name: str, value: Any) -> bool | None:
    """A bool, or one of the words that some clients send for it; None where none was given."""
    match value:
        case None | bool():
            return value
        case "true":
            return True
        case "false":
            return False
        case _:
            raise invalid(name, value, "must be true or false")


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str | None:
    return None if value is None else read_choice(name, value, choices)


def _refuse_unknown(field: str, params: Json) -> None:
    for name, value in params.items():
        argument = f"{field}.{name}"
        if name in UNSUPPORTED:
            if not (value is None or value is False or value == "false"):
                raise invalid(argument, value, "not supported by this self-hosted service yet")
        elif name == "max_cost":
            if value is not None and (not is_number(value) or value < 1):
                raise invalid(argument, value, "must be a number of at least 1: every page costs 1 credit here")
        elif name not in (*SWITCHES, "device_type", "output_format", "scraper_sdk"):
            raise invalid(argument, value, "unknown parameter")
