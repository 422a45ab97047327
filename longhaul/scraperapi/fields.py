"""What is asked of the same arguments on both sides: by our intake of a caller's, by the self-hosted service of a
client's. Pure.

Bounds, and words that only one side has, stay with their side.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from longhaul.errors import InvalidArgument, invalid
from longhaul.scraperapi.models import Json

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
DEEPEST = 100
"""Levels of an object; what is deeper could not be read again everywhere."""


def secretive(argument: str, value: object, rule: str) -> InvalidArgument:
    """The error for a value that may be a secret: errors are shown in Flower and logs, so it is described and not
    quoted.
    """
    size = f" of {len(value)} characters" if isinstance(value, str) else ""
    return InvalidArgument(f"{argument}: a {type(value).__name__}{size} (not shown, it may be secret): {rule}")


def http_host(name: str, url: str, *, secret: bool = False) -> str:
    """The host of an http(s) address; `secret`: it may carry a password, so errors do not quote it."""
    refused = secretive if secret else invalid
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise refused(name, url, "is not a URL" if secret else f"is not a URL ({error})") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise refused(name, url, "must be an http:// or https:// address with a host")
    return host


def read_method(value: object) -> str:
    """An HTTP method, in any case."""
    if not isinstance(value, str) or value.upper() not in METHODS:
        raise invalid("method", value, f"must be one of {', '.join(METHODS)}")
    return value.upper()


def check_header_name(name: str) -> None:
    """Raise where this is not a header's name."""
    if not HEADER_NAME.fullmatch(name):
        raise invalid("headers", name, "is not a header's name")


def breaks_line(content: str) -> bool:
    """Whether a header's value would end its line."""
    return any(character in content for character in "\r\n\0")


def json_size(name: str, value: Json | None) -> int:
    """The bytes of an object as JSON; raises where it can't be written, or could not be read again."""
    if not _fits(value, DEEPEST):
        raise InvalidArgument(f"{name}: an object nested more than {DEEPEST} deep: must be flatter")
    try:
        # Python would write, and read, NaN and numbers beyond a double; no other client would.
        return len(
            json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
                "utf-8", "surrogatepass"
            )
        )
    except (TypeError, ValueError) as error:
        raise invalid(name, value, f"must be JSON ({error}; NaN and infinity are none)") from None


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is what JSON calls an object."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is what JSON calls a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(value: object, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return depth > 0 and all(_fits(one, depth - 1) for one in inner)
