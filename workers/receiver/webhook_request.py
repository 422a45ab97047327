"""What every webhook request has in common: its password, its bounded body, its JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
from functools import lru_cache
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope

from longhaul.scraperapi.crawl_models import NoEvent
from longhaul.scraperapi.protocol import load_json
from longhaul.scraperapi.raw_json import read_carrying

INLINE_BYTES = 512 * 1024
"""Longest document that is parsed on the event loop; a longer one would hold up the other requests."""

OK = {"status": "ok"}
CACHED_HEADERS = 1000
"""`Authorization` headers that are decoded once: all events of a crawl carry the same."""


async def body_of(receive: Receive, limit: int) -> bytes | None:
    """The body, or None where it is longer than `limit` bytes; raises `ClientDisconnect` where it breaks off."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > limit:
            return None
    return b"".join(parts)


async def document_of(body: bytes, *, carrying: bool = False) -> Any | NoEvent:
    """The JSON in a body; `carrying`: a response's text may be `RawJson`."""
    read = _carried if carrying else _parsed
    return read(body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(read, body)


def password_of(scope: Scope) -> str:
    """The password of basic auth; empty where there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return _password_in(value)
    return ""


@lru_cache(maxsize=CACHED_HEADERS)
def _password_in(authorization: bytes) -> str:
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def refuse(status: int, words: str) -> Response:
    """A refusal as JSON."""
    return JSONResponse({"status": "error", "statusCode": status, "error": words}, status_code=status)


def _carried(body: bytes) -> Any | NoEvent:
    document = read_carrying(body)
    return _parsed(body) if document is None else document


def _parsed(body: bytes) -> Any | NoEvent:
    try:
        return load_json(body)
    except (ValueError, RecursionError) as error:
        return NoEvent(f"not JSON: {error}")
