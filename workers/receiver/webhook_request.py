"""What every push to the receiver has in common: who may push, how much, and that it is JSON."""

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

AT_ONCE = 512 * 1024
"""Bytes up to which a document is parsed on the spot; a longer one would hold up the others."""

OK = {"status": "ok"}
REMEMBERED = 1000
"""Headers whose password is remembered: the events of a crawl all come with the same."""


async def body_of(receive: Receive, limit: int) -> bytes | None:
    """The body, or None where it is longer than `limit` bytes. A `ClientDisconnect` where it does not come to its end."""
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
    """The JSON in a body; `carrying`: a response's text may be `Verbatim`."""
    read = _carried if carrying else _parsed
    return read(body) if len(body) <= AT_ONCE else await asyncio.to_thread(read, body)


def password_of(scope: Scope) -> str:
    """The password of basic auth; empty where there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return _password_in(value)
    return ""


@lru_cache(maxsize=REMEMBERED)
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
