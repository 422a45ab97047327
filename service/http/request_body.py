"""What a client posts: its key and its JSON."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.exceptions import HTTPException

from longhaul.errors import InvalidArgument
from longhaul.scraperapi.models import Json

MAX_BODY_BYTES = 128 * 1024 * 1024
"""Longest body of a submission: 50,000 long URLs, and some more."""

Key = Annotated[str | None, Query(description="May be left out: the id is the credential. A wrong one is a 401.")]

_COMMENT = re.compile(rb"(^|[\s,{\[])(//|/\*)")


async def read_body(request: Request) -> bytes:
    """The whole body; a 413 where it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def read_json(body: bytes) -> Json:
    """The JSON object of a body; raises `InvalidArgument`."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        hint = "; JSON knows no comments" if _COMMENT.search(body) else ""
        raise InvalidArgument(f"the body is not JSON ({error}{hint})") from None
    if not isinstance(document, dict):
        raise InvalidArgument("the body is not a JSON object")
    return document


def key_of(document: Json) -> str | None:
    """The client's key, under either of its names."""
    key = document.get("apiKey", document.get("api_key"))
    return key if isinstance(key, str) and key else None


def authorize(keys: Sequence[str], key: str | None, *, required: bool) -> None:
    """A 401 for a key that is not one of `keys`; any key passes where there are none. Not `required`: no key at all
    passes, too.
    """
    if not keys or (key is None and not required):
        return
    if not is_one_of(keys, key or ""):
        raise HTTPException(401, "apiKey is missing or is not known to this service")


def is_one_of(keys: Sequence[str], key: str) -> bool:
    """Whether `key` is one of `keys`, compared in constant time."""
    given = key.encode()
    return any(hmac.compare_digest(given, known.encode()) for known in keys)
