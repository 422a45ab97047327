"""The arguments of a script by name: the Lua that makes locals of them, and the list of them for a call.

In ARGV the plain arguments stand first, in the order of the header, then each list after its length, then what repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from longhaul.ledger.script_header import Argument, Header, Repeated

Value = str | bytes | int | float


def declarations(header: Header) -> str:
    """The Lua that makes locals of KEYS and ARGV, named as in the header."""
    lua = ""
    if header.given_keys:
        names = [name.removesuffix("[]") for name in header.given_keys]
        is_list = header.given_keys[-1].endswith("[]")
        places = [f"KEYS[{at + 1}]" for at in range(len(names))]
        if is_list:
            places[-1] = f"{{unpack(KEYS, {len(names)})}}"
        lua += f"local {', '.join(names)} = {', '.join(places)}\n"
    scalars, lists = _parted(header.args)
    if scalars:
        values = ", ".join(_read(arg, f"ARGV[{at + 1}]") for at, arg in enumerate(scalars))
        lua += f"local {', '.join(arg.name for arg in scalars)} = {values}\n"
    if lists or header.repeated:
        names = [arg.name for arg in lists] + ([header.repeated.name] if header.repeated else [])
        lua += f"local {', '.join(names)}\ndo\n  local at = {len(scalars) + 1}\n"
        lua += "".join(f"  {arg.name} = {{}}\n" + _read_list(arg.name, "  ") for arg in lists)
        lua += (_iterator(header.repeated) if header.repeated else "") + "end\n"
    return lua


class Arguments:
    """Makes ARGV for calls of the script in `file`, and refuses a call whose names are not the header's."""

    def __init__(self, file: str, header: Header) -> None:
        self.wants_now = any(arg.name == "now" for arg in header.args)
        self._row = _Row(file, header.args, header.names)
        self._repeated = header.repeated.name if header.repeated else ""
        rows = header.repeated.args if header.repeated else ()
        self._repeated_row = _Row(f"{file}, {self._repeated}", rows, [arg.name for arg in rows])

    def of(self, values: Mapping[str, Any]) -> list[Value]:
        """ARGV for a call with these; raises TypeError with the names that are missing or unknown."""
        argv = self._row.of(values)
        if self._repeated:
            for one in values[self._repeated]:
                argv += self._repeated_row.of(one)
        return argv


class _Row:
    """A row of arguments: those of a script, or those that repeat."""

    def __init__(self, owner: str, args: Sequence[Argument], names: Sequence[str]) -> None:
        self._owner = owner
        self._names = frozenset(names)
        scalars, lists = _parted(args)
        self._pick = _picker([arg.name for arg in scalars])
        self._optional = [at for at, arg in enumerate(scalars) if arg.optional]
        self._flags = [at for at, arg in enumerate(scalars) if arg.shape == "flag"]
        self._lists = [(arg.name, arg.shape == "pairs") for arg in lists]

    def of(self, values: Mapping[str, Any]) -> list[Value]:
        if values.keys() != self._names:
            raise TypeError(self._mismatch(values))
        argv = [*self._pick(values)]
        for at in self._optional:
            if argv[at] is None:
                argv[at] = ""
        for at in self._flags:
            argv[at] = int(argv[at] or 0)
        for name, is_pairs in self._lists:
            items = values[name]
            if is_pairs:
                argv.append(2 * len(items))
                for pair in items.items():
                    argv += pair
            else:
                argv.append(len(items))
                argv += items
        return argv

    def _mismatch(self, values: Mapping[str, Any]) -> str:
        missing, unknown = sorted(self._names - values.keys()), sorted(values.keys() - self._names)
        faults = [f"{word} {', '.join(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names]
        return f"{self._owner}: arguments {'; '.join(faults)}"


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    # `itemgetter` of one name gives no tuple.
    return lambda values: tuple(values[name] for name in names)


def _parted(args: Sequence[Argument]) -> tuple[list[Argument], list[Argument]]:
    return [arg for arg in args if arg.scalar], [arg for arg in args if not arg.scalar]


def _iterator(repeated: Repeated) -> str:
    scalars, lists = _parted(repeated.args)
    values = ", ".join(_read(arg, f"ARGV[at + {place}]") for place, arg in enumerate(scalars))
    return (
        f"  function {repeated.name}()\n"
        "    if not ARGV[at] then return nil end\n"
        f"    local {', '.join(arg.name for arg in scalars)} = {values}\n"
        f"    at = at + {len(scalars)}\n"
        + "".join(f"    local {arg.name} = {{}}\n" + _read_list(arg.name, "    ") for arg in lists)
        + f"    return {', '.join(arg.name for arg in [*scalars, *lists])}\n"
        "  end\n"
    )


def _read_list(name: str, indent: str) -> str:
    # No function of Lua: for `finish`, with three lists, it would take 5 % longer.
    return (
        f"{indent}for place = at + 1, at + tonumber(ARGV[at]) do {name}[place - at] = ARGV[place] end\n"
        f"{indent}at = at + #{name} + 1\n"
    )


def _read(arg: Argument, place: str) -> str:
    if arg.name == "now":
        return f"clock({place})"
    if arg.shape == "number":
        # Of the empty text, which stands for None, it makes nil.
        return f"tonumber({place})"
    if arg.shape == "flag":
        return f"{place} == '1'"
    return f"{place} ~= '' and {place} or nil" if arg.optional else place
