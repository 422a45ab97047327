"""What every push to the receiver has in common: who may push, how much, and that it is JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from scraperapi.crawl_models import NoEvent
from scraperapi.protocol import DECODER

AT_ONCE = 512 * 1024
"""Bytes up to which a document is parsed on the spot; a longer one would hold up the others."""


async def body_of(request: Request, limit: int) -> bytes | None:
    """The body, or None where it is longer than `limit` bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


async def document_of(body: bytes) -> Any | NoEvent:
    """The JSON in a body."""
    return _parsed(body) if len(body) <= AT_ONCE else await asyncio.to_thread(_parsed, body)


def password_of(request: Request) -> str:
    """The password of basic auth; empty where there is none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def refuse(status: int, words: str) -> Response:
    """A refusal as JSON."""
    return JSONResponse({"status": "error", "statusCode": status, "error": words}, status_code=status)


def _parsed(body: bytes) -> Any | NoEvent:
    try:
        return DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        return NoEvent(f"not JSON: {error}")
