"""The text of a page on its way from an event into an envelope: JSON that is carried over as it stands. Pure.

It is by far the longest part of both. To make a string of it and to write that again costs more than all else that is
done with an event.
"""

from __future__ import annotations

import secrets
from typing import Any

from pydantic_core import SchemaValidator, from_json
from pydantic_core.core_schema import bytes_schema

from longhaul.scraperapi.models import Json, RawJson
from longhaul.scraperapi.protocol import dump_json, load_json

BODY = b'"body":"'
_STAND_IN = secrets.token_hex(16)
"""While the rest is read. No page can know it."""
PLACEHOLDER = dump_json(_STAND_IN)
_BEYOND_ASCII = SchemaValidator(bytes_schema())
"""Reads a string, but makes no `str` of it: for a text beyond ASCII that takes as long again."""
ENDINGS = (b",", b"}")
QUOTES_TRIED = 50
"""How many quotes, counted from the end, are tried as the end of the text."""


def read_carrying(data: bytes) -> Json | None:
    """The JSON object in `data`, the `body` of its `response` being `RawJson`. None where that is not to be had so:
    nothing is said of `data`, which may be read as any other document.
    """
    start = data.find(BODY) + len(BODY) - 1
    end = _end(data, start)
    text = data[start:end]
    try:
        # With a string in the text's place this is JSON, and the text is a string: so the whole is JSON.
        document: Any = load_json(b"%s%s%s" % (data[:start], PLACEHOLDER, data[end:]))
        (from_json if text.isascii() else _BEYOND_ASCII.validate_json)(text)
        if document["response"]["body"] != _STAND_IN:
            return None  # It stood elsewhere
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    document["response"]["body"] = RawJson(text)
    return dict(document)


def dump_carrying(document: Json) -> bytes:
    """`dump_json` for an object whose `body` may be `RawJson`; it comes last then."""
    body = document.get("body")
    if not isinstance(body, RawJson):
        return dump_json(document)
    rest = dump_json({name: value for name, value in document.items() if name != "body"})
    return b"".join((rest[:-1], b',"body":', body.text, b"}"))


def _end(data: bytes, start: int) -> int:
    """Where the string that begins at `start` may end; whether it is one string is for its reader to say."""
    at = len(data)
    for _ in range(QUOTES_TRIED):
        # From behind, for little follows the text, and its own quotes are many.
        at = data.rfind(b'"', start + 1, at)
        if at < 0 or (data[at + 1 : at + 2] in ENDINGS and not data.startswith(b"\\", at - 1)):
            return at + 1
    return 0
