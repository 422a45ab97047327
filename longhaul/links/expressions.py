r"""Regular expressions of strangers, matched in linear time: RE2, and on top of its syntax what JavaScript writes
differently. Pure.

Translated: \uXXXX, \u{X}, \cX, [\b], and [] and [^], which in JavaScript are the class of nothing and the class of
everything. Named groups may be written either way. `.` and \s are RE2's: they differ from JavaScript's for a few
characters that no address contains.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import re2

from longhaul.errors import invalid

LONGEST = 4096
"""Characters of a pattern."""
MOST_STEPS = 10_000
"""Instructions of a compiled pattern: the time for one address grows with them, up to some 15 ms."""
MEMORY_BYTES = 4 * 1024 * 1024
"""Bytes for one pattern's program and tables."""
MOST_FOUND = 100_000
"""Links taken from one page by a pattern with a group for them."""
SEARCH_SECONDS = 5.0
"""Seconds for finding the links of one page: each match is linear, but an expression can make each scan the whole
page.
"""
TARGETS = ("full_url", "relative_url")

_ALL = frozenset({"", ".*", "^.*$"})
"""The commonest expressions, which need no asking."""
_LOOK_AROUND = {"(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind"}
_SAME = {"[]": r"[^\x{0}-\x{10ffff}]", "[^]": r"[\x{0}-\x{10ffff}]", r"\/": "/", r"\b": r"\x08"}
"""What RE2 writes differently, among the tokens with a name."""
_ESCAPES = r"""
    \\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})
    | \\u(?P<short>[0-9a-fA-F]{4}) | \\u\{(?P<long>[0-9a-fA-F]{1,6})\} | \\c(?P<control>[A-Za-z])
    """
_OUTSIDE = re.compile(
    _ESCAPES
    + r"""
    | (?P<quoted>\\Q.*?(?:\\E|$)) | \\(?P<back>[1-9]|k<) | \\(?P<slash>/) | \\.
    | (?P<look>\(\?<?[=!]) | (?P<group>\(\?P?<(?P<name>[^>]*)>|\((?!\?)) | (?P<empty>\[\^?\]) | (?P<open>\[) | .
    """,
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(
    _ESCAPES + r"| (?P<backspace>\\b) | \\. | \[:\^?[a-z]+:\] | (?P<close>\]) | .", re.VERBOSE | re.DOTALL
)
_REPETITION = re.compile(r"invalid repetition size: \{(\d+),?(\d*)\}")


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `text`: in RE2's syntax; `groups`: the numbers of the groups that are links, if there are
    any.
    """

    text: str
    groups: tuple[int, ...]
    program: Any = field(repr=False, compare=False)

    @property
    def targets(self) -> bool:
        """Whether it is run over a page's HTML and its groups full_url and relative_url are the links."""
        return bool(self.groups)

    @property
    def carries_addresses(self) -> bool:
        """Whether it speaks of full URLs, so that it decides alone what is crawled, also on other sites."""
        return "://" in self.text

    def matches(self, url: str) -> bool:
        """Whether it is found anywhere in `url`."""
        return self.text in _ALL or self.program.search(url.encode("utf-8", "replace")) is not None

    def found_in(self, html: str, seconds: float = SEARCH_SECONDS) -> Iterator[str]:
        """What its link groups match in `html`, in order, as written there; at most `MOST_FOUND`, and what is found in
        so many seconds.
        """
        found, until = 0, time.monotonic() + seconds
        for match in self.program.finditer(html.encode("utf-8", "replace")):
            for group in self.groups:
                if text := match.group(group):
                    yield text.decode("utf-8", "replace").replace("&amp;", "&")
                    found += 1
            if found >= MOST_FOUND or time.monotonic() > until:
                return


def compiled(field: str, pattern: str) -> Expression:
    """`pattern` made ready; an `InvalidArgument` with the name of its field where it is none, or asks for what RE2
    cannot do.
    """
    if len(pattern) > LONGEST:
        raise invalid(field, pattern, f"must be at most {LONGEST} characters long")
    text, groups = _translated(field, pattern)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY_BYTES
    try:
        program = re2.compile(text.encode(), options=options)
    except UnicodeEncodeError:
        raise invalid(
            field, pattern, "is not a regular expression: it contains half a character (a lone surrogate)"
        ) from None
    except re2.error as error:
        raise invalid(field, pattern, _reason(error)) from None
    if program.programsize > MOST_STEPS:
        raise invalid(field, pattern, f"is too large: {program.programsize} steps, at most {MOST_STEPS}; repeat less")
    return Expression(text, groups, program)


def _translated(field: str, pattern: str) -> tuple[str, tuple[int, ...]]:
    """The pattern in RE2's syntax, and the numbers of the groups whose matches are links."""
    parts: list[str] = []
    targets: list[int] = []
    at, count, syntax = 0, 0, _OUTSIDE
    while token := syntax.match(pattern, at):
        at = token.end()
        match token.lastgroup:
            case "look":
                raise invalid(field, pattern, f"{_LOOK_AROUND[token[0]]} is not supported: {token[0]}")
            case "back":
                raise invalid(field, pattern, f"back-references are not supported: {token[0]}")
            case "group":
                count += 1
                if token["name"] in TARGETS:
                    targets.append(count)
            case "open":
                syntax = _INSIDE
            case "close":
                syntax = _OUTSIDE
            case _:
                pass
        parts.append(_in_re2(token))
    return "".join(parts), tuple(targets)


def _in_re2(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "low":
            return f"\\x{{{0x10000 + (int(token['high'], 16) - 0xD800) * 0x400 + int(token['low'], 16) - 0xDC00:x}}}"
        case "short" | "long" as kind:
            return f"\\x{{{token[kind]}}}"
        case "control":
            return f"\\x{{{ord(token['control']) % 32:x}}}"
        case _:
            return _SAME.get(token[0], token[0]) if token.lastgroup else token[0]


def _reason(error: Exception) -> str:
    words = error.args[0].decode("utf-8", "replace")
    size = _REPETITION.fullmatch(words)
    if size and not (size[2] and int(size[1]) > int(size[2])):
        return f"repetitions above 1000 are not supported, nested ones multiplied ({words})"
    return f"is not a regular expression of RE2 ({words})"
