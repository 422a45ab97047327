"""A Lua script as the server runs it: the prelude, the functions that it uses, the locals of its arguments, itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable

from longhaul.ledger.script_arguments import Arguments, declarations
from longhaul.ledger.script_header import Header, HeaderError, parse_header

LEDGER = files("longhaul.ledger") / "scripts"
PRELUDE = "prelude"
TRANSITIONS = "TRANSITIONS"
"""In a script: the owner's table of transitions."""


@dataclass(frozen=True, slots=True)
class ScriptPart:
    """A piece of the text that the server runs: a file's, or, where `file` is empty, what the loader has written."""

    file: str
    text: str


@dataclass(frozen=True)
class Script:
    """One script: its header, and its parts in order, of which the last is the script's own file."""

    header: Header
    parts: tuple[ScriptPart, ...]

    @cached_property
    def text(self) -> str:
        """All of it, as the server has to know it."""
        return "".join(part.text for part in self.parts)

    @cached_property
    def digest(self) -> str:
        """The name by which the server knows it."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def arguments(self) -> Arguments:
        """Makes ARGV for calls."""
        return Arguments(self.parts[-1].file, self.header)


def load_script(name: str, folder: Traversable = LEDGER, transitions: str = "{}") -> Script:
    """The script `name` of `folder`, or else of the ledger; `transitions` is a table in Lua. Raises `HeaderError`."""
    own = _read(name, folder)
    header = parse_header(own.file, own.text)
    if not header.is_script:
        raise HeaderError(f"{own.file}: a file of functions, for its header has no ARGS")
    if header.given_keys:
        return Script(header, (ScriptPart("", declarations(header)), own))
    parts = [*_libraries((PRELUDE, *header.uses), folder, set()), ScriptPart("", declarations(header)), own]
    start = "local space = KEYS[1]\n"
    if any(TRANSITIONS in part.text for part in parts):
        start += f"local {TRANSITIONS} = {transitions}\n"
    return Script(header, (ScriptPart("", start), *parts))


def _libraries(names: Sequence[str], folder: Traversable, known: set[str]) -> list[ScriptPart]:
    """The files of functions, each once and after those that it uses itself."""
    parts: list[ScriptPart] = []
    for name in names:
        if name not in known:
            known.add(name)
            part = _read(name, folder)
            parts += [*_libraries(parse_header(part.file, part.text).uses, folder, known), part]
    return parts


def _read(name: str, folder: Traversable) -> ScriptPart:
    file = f"{name}.lua"
    place = folder / file
    return ScriptPart(file, (place if place.is_file() else LEDGER / file).read_text())
