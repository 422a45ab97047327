"""The header of a Lua script, which names its arguments and the keys that it touches.

A script begins with comment lines that say what it does, and then:

    -- USES: batches                     files of functions that it calls, beside `prelude.lua`
    -- ARGS: now, id                     its arguments in order; two spaces begin a remark
    --       due:number?                 seconds
    -- KEYS: record, due                 the key families that it or its functions touch: `record` is `<space>:record:<id>`
    -- RETURNS: 'moved'                  its reply

An argument is a text (`id`), a number (`count:number`) or a truth value (`on:flag`), with a `?` where it may be missing
(None in Python, nil in Lua); a list (`names[]`); or pairs (`fields{}`, a mapping in Python, and in Lua the flat list
{name, value, name, value, ...}). Lists and pairs stand after the others. The last one may repeat:
`records...(id, fields{})` is a sequence of mappings in Python, and `for id, fields in records do` in Lua, once.
The loader fills in `now`, the ledger's time.

Arguments that are keys, or families of keys, stand at the end of KEYS: `record; from ARGS: stream`. A script that
belongs to no space is called with whole keys instead: `GIVEN KEYS: unacked, queues[]`, of which the last may be a list.

A file without ARGS is a file of functions for others to use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SECTIONS = ("USES", "ARGS", "KEYS", "GIVEN KEYS", "RETURNS")
_SECTION = re.compile(rf"-- ({'|'.join(SECTIONS)}):(.*)")
_REMARK = re.compile(r"\s{2,}.*")
_ARGUMENT = re.compile(r"(\w+)(?:(\[\]|\{\})|(?::(number|flag))?(\?)?)")
_REPEATED = re.compile(r"(\w+)\.\.\.\(([^()]*)\)$")
_SHAPES = {"[]": "list", "{}": "pairs", None: "text"}
_FROM_ARGS = "; from ARGS:"


class HeaderError(ValueError):
    """A header that cannot be read, with the script's name."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: `shape` is text, number, flag, list or pairs; one that is `optional` may be missing."""

    name: str
    shape: str
    optional: bool = False

    @property
    def scalar(self) -> bool:
        """Whether it is one string of ARGV."""
        return self.shape not in ("list", "pairs")


@dataclass(frozen=True, slots=True)
class Repeated:
    """The arguments that repeat, and the name for all of them."""

    name: str
    args: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What a file of Lua says of itself; without ARGS it is no script, but a file of functions."""

    purpose: str
    is_script: bool
    uses: tuple[str, ...]
    args: tuple[Argument, ...]
    repeated: Repeated | None
    keys: tuple[str, ...]
    argument_keys: tuple[str, ...]
    given_keys: tuple[str, ...]
    returns: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arguments of a call."""
        return tuple(arg.name for arg in self.args) + ((self.repeated.name,) if self.repeated else ())


def parse_header(file: str, source: str) -> Header:
    """The header of a Lua file; raises `HeaderError`."""
    purpose, sections = _sections(file, source)
    args, repeated = _arguments(file, _joined(sections, "ARGS"))
    given_keys = _split(_joined(sections, "GIVEN KEYS"))
    if any(name.endswith("[]") for name in given_keys[:-1]):
        raise HeaderError(f"{file}: only the last of the keys that are given may be a list")
    keys, _, argument_keys = _joined(sections, "KEYS").partition(_FROM_ARGS)
    return Header(
        purpose=purpose,
        is_script="ARGS" in sections,
        uses=_split(_joined(sections, "USES")),
        args=args,
        repeated=repeated,
        keys=_split(keys),
        argument_keys=_split(argument_keys),
        given_keys=given_keys,
        returns=" ".join(line.strip() for line in sections.get("RETURNS", ())),
    )


def _sections(file: str, source: str) -> tuple[str, dict[str, list[str]]]:
    purpose: list[str] = []
    sections: dict[str, list[str]] = {}
    lines = purpose
    for line in source.splitlines():
        if not line.startswith("--"):
            break
        if found := _SECTION.match(line):
            if found[1] in sections:
                raise HeaderError(f"{file}: its header has {found[1]} twice")
            lines = sections[found[1]] = []
        lines.append(found[2] if found else line.removeprefix("--"))
    return " ".join(line.strip() for line in purpose), sections


def _arguments(file: str, text: str) -> tuple[tuple[Argument, ...], Repeated | None]:
    found = _REPEATED.search(text)
    if found is None:
        return _row(file, text), None
    repeated = Repeated(found[1], _row(file, found[2]))
    if not repeated.args or not repeated.args[0].scalar:
        raise HeaderError(f"{file}: what repeats as {repeated.name} does not begin with a plain argument")
    return _row(file, text[: found.start()]), repeated


def _row(file: str, text: str) -> tuple[Argument, ...]:
    args: list[Argument] = []
    for word in _split(text):
        found = _ARGUMENT.fullmatch(word)
        if found is None:
            raise HeaderError(f"{file}: {word!r} is no argument")
        arg = Argument(found[1], found[3] or _SHAPES[found[2]], bool(found[4]))
        if arg.scalar and args and not args[-1].scalar:
            raise HeaderError(f"{file}: the argument {arg.name} stands after a list")
        if arg.name in [one.name for one in args]:
            raise HeaderError(f"{file}: the argument {arg.name} stands there twice")
        args.append(arg)
    return tuple(args)


def _joined(sections: Mapping[str, Sequence[str]], name: str) -> str:
    lines = (_REMARK.sub("", line.strip()).strip().rstrip(",") for line in sections.get(name, ()))
    return ",".join(line for line in lines if line)


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
