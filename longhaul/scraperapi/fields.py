"""Checks of the arguments that clients send to Longhaul and, in the same shape, to the self-hosted service. Pure.

Each reader returns the checked value or raises `InvalidArgument`, which names the argument, the value and the rule.
Limits, and arguments that only one side knows, stay with that side.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from longhaul.errors import InvalidArgument, invalid
from longhaul.scraperapi.crawl_models import INTERVALS
from longhaul.scraperapi.models import Json

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
DEEPEST = 100
"""Most levels of an object: not every JSON reader can read a deeper one."""
MAX_SCHEDULE_NAME_CHARACTERS = 200


def secretive(argument: str, value: object, rule: str) -> InvalidArgument:
    """The error for a value that may be a secret. It describes the value without quoting it, because errors are shown
    in Flower and logs.
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
    """The bytes of an object as JSON. Raises where it cannot be written, or not every reader could read it again."""
    if not _fits(value, DEEPEST):
        raise InvalidArgument(f"{name}: an object nested more than {DEEPEST} deep: must be flatter")
    try:
        # Python would write and read NaN and numbers beyond a double; other clients would not.
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


def read_object(name: str, value: object, most_bytes: float = math.inf) -> Json | None:
    """An object of at most `most_bytes` of JSON; None where none was given."""
    if value is None:
        return None
    if not is_object(value):
        raise invalid(name, value, "must be an object with string keys")
    size = json_size(name, value)
    if size > most_bytes:
        raise invalid(name, value, f"must be at most {most_bytes} bytes of JSON; this is {size}")
    return value


def read_whole_number(name: str, value: object, least: int, most: int, setting: str = "") -> int:
    """A whole number from `least` to `most`; `setting`: the name of the setting that says how much `most` is."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        named = f" ({setting})" if setting else ""
        raise invalid(name, value, f"must be a whole number from {least} to {most}{named}")
    return value


def read_bound(name: str, value: object, least: int, most: int, setting: str = "") -> int | None:
    """Like `read_whole_number`; None where no bound was given."""
    return None if value is None else read_whole_number(name, value, least, most, setting)


def read_seconds(name: str, value: object, most: float) -> float | None:
    """A duration in seconds, above 0 and at most `most`; None where none was given."""
    if value is None:
        return None
    if not is_number(value) or not 0 < value <= most:
        raise invalid(name, value, f"must be a number of seconds above 0 and at most {most}")
    return value


def read_choice(name: str, value: object, choices: Collection[str]) -> str:
    """One of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise invalid(name, value, f"must be one of {', '.join(choices)}")
    return value


def read_expression(name: str, value: object) -> str:
    """The text of a regular expression, which is not compiled here; empty where none was given."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(name, value, "must be a string: a regular expression")
    return value


def read_interval(value: object) -> str:
    """How often a crawl runs: one of `INTERVALS`."""
    return read_choice("schedule.interval", value, INTERVALS)


def read_schedule_name(value: object) -> str:
    """The name of a crawl's schedule."""
    if not isinstance(value, str) or len(value) > MAX_SCHEDULE_NAME_CHARACTERS:
        raise invalid("schedule.name", value, f"must be a string of at most {MAX_SCHEDULE_NAME_CHARACTERS} characters")
    return value


def _fits(value: object, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return depth > 0 and all(_fits(one, depth - 1) for one in inner)
