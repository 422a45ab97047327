"""What a Lua script of ours must not do. A server finds some of it too, but only when it runs that line."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from tree_sitter import Node

from longhaul.ledger.script import Script
from tests.lint.lua_names import Declaration, Names, text

COLUMNS = 120
GLOBALS = {
    "redis": {"call", "pcall", "sha1hex", "error_reply", "status_reply", "log"},
    "string": {
        "byte",
        "char",
        "find",
        "format",
        "gmatch",
        "gsub",
        "len",
        "lower",
        "match",
        "rep",
        "reverse",
        "sub",
        "upper",
    },
    "table": {"concat", "insert", "remove", "sort"},
    "math": {"abs", "ceil", "floor", "huge", "max", "min"},
    "cjson": {"decode", "encode"},
}
FUNCTIONS = {"tonumber", "tostring", "type", "ipairs", "pairs", "unpack", "next", "select", "error", "assert", "pcall"}
_ONE_KEY = """
    HGET HMGET HGETALL HSET HSETNX HDEL HEXISTS HINCRBY HLEN HSTRLEN ZADD ZREM ZCARD ZCOUNT ZSCORE ZRANGE ZRANGEBYSCORE
    ZREMRANGEBYSCORE SADD SREM SCARD SMEMBERS SISMEMBER LPUSH RPUSH LPOP RPOP LLEN LRANGE GET SET SETEX INCR EXPIRE
    PEXPIRE TTL PTTL XADD XLEN PUBLISH
"""
ONE_KEY = set(_ONE_KEY.split())
MANY_KEYS = {"DEL", "UNLINK", "EXISTS", "RENAME"}
NO_KEYS = {"TIME"}


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong, and where; `file` is empty in what the loader has written."""

    file: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.words}"


class Linter:
    """One script together with the files of functions that it uses."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._names = Names(script.text)
        self._starts = [0, *accumulate(part.text.count("\n") for part in script.parts)]
        self._reached = self._names.reached()
        self._given = {name.removesuffix("[]") for name in script.header.given_keys}
        self._families: set[str] = set()
        self._argument_keys: set[str] = set()

    def faults(self) -> list[Fault]:
        """Everything that is wrong, by file and line."""
        found = [
            *self._syntax(),
            *self._header(),
            *self._globals(),
            *self._columns(),
            *self._minuses(),
            *self._keys(),
            *self._unused(),
        ]
        return sorted(set(found))

    def functions(self, *, reached: bool) -> set[Fault]:
        """The functions in the files that the script uses, those that it runs or the others, as faults."""
        own = self._script.parts[-1].file
        return {
            self._fault(one.node, f"{one.name}: no script uses this function")
            for one in self._names.declarations
            if one.function is None and one.kind == "function" and self._file(one.node) not in ("", own)
            if (one in self._reached) is reached
        }

    def _syntax(self) -> Iterator[Fault]:
        return (self._fault(node, "no Lua") for node in self._names.faults)

    def _header(self) -> Iterator[Fault]:
        header = self._script.header
        for section, words in (("purpose", header.purpose), ("RETURNS", header.returns)):
            if not words:
                yield self._first_line(f"its header has no {section}")

    def _globals(self) -> Iterator[Fault]:
        for node in self._names.assigned:
            yield self._fault(node, f"{text(node)} is not declared: a script may not set a global")
        for node in self._names.undeclared:
            name, parent = text(node), node.parent
            if name in ("KEYS", "ARGV"):
                if self._file(node) == self._script.parts[-1].file:
                    yield self._fault(node, f"{name}: the header's names stand for it")
            elif name in GLOBALS:
                member = (
                    text(parent.child_by_field_name("field"))
                    if parent and parent.type == "dot_index_expression"
                    else ""
                )
                if member not in GLOBALS[name] and not member.startswith("LOG_"):
                    yield self._fault(node, f"{name}.{member}: no such function")
            elif name not in FUNCTIONS:
                yield self._fault(node, f"{name} is not declared")

    def _columns(self) -> Iterator[Fault]:
        for part in self._script.parts:
            if part.file:
                for number, line in enumerate(part.text.splitlines(), 1):
                    if len(line) > COLUMNS:
                        yield Fault(part.file, number, f"{len(line)} columns: {COLUMNS} are the most")

    def _minuses(self) -> Iterator[Fault]:
        for node in self._names.minuses:
            operand, parent = node.child_by_field_name("operand"), node.parent
            if operand is None or operand.type != "number":
                yield self._fault(
                    node, f"{text(node)}: -0 where it is 0, which servers before 7.2 refuse; write 0 - ..."
                )
            elif parent is not None and parent.type == "binary_expression" and parent.children[1].type in ("*", "/"):
                yield self._fault(
                    node, f"{text(parent)}: -0 where the other is 0, which servers before 7.2 refuse; write 0 - ..."
                )

    def _keys(self) -> Iterator[Fault]:
        for call, function in self._names.calls:
            callee = call.child_by_field_name("name")
            if function not in self._reached or callee is None:
                continue
            if text(callee) in ("redis.call", "redis.pcall"):
                yield from self._command(call)
            elif self._is_key_function(callee):
                yield from self._family(_arguments(call)[0])
        header = self._script.header
        for words, named, touched in (
            ("the key", header.keys, self._families),
            ("the argument that is a key,", header.argument_keys, self._argument_keys),
        ):
            for name in sorted(touched - set(named)):
                yield self._first_line(f"its header does not name {words} {name}")
            for name in sorted(set(named) - touched):
                yield self._first_line(f"its header names {words} {name}, which it does not touch")
        for node, _ in [use for one in self._names.declarations if one.name == "space" for use in one.uses]:
            if not self._file(node).endswith("prelude.lua"):
                yield self._fault(node, "space: a key is made by key('family', id)")

    def _command(self, call: Node) -> Iterator[Fault]:
        first, *rest = _arguments(call)
        name = _literal(first)
        if name == "MEMORY":
            keys = rest[1:]
        elif name in ONE_KEY:
            keys = rest[:1]
        elif name in MANY_KEYS:
            keys = rest
        else:
            keys = []
            if name not in NO_KEYS:
                yield self._fault(
                    call, f"{text(first)}: a command that the linter does not know; say there where its keys stand"
                )
        for key in keys:
            if not self._is_key(key):
                yield self._fault(
                    key, f"{text(key)}: a key is key('family', id), or an argument that the header names under KEYS"
                )

    def _is_key(self, node: Node) -> bool:
        if node.type == "function_call":
            return self._is_key_function(node.child_by_field_name("name"))
        if node.type == "binary_expression" and node.children[1].type == "..":
            # An argument that is the beginning of a key.
            return self._is_key(node.children[0])
        argument = self._argument(node)
        if argument is not None:
            if argument not in self._given:
                self._argument_keys.add(argument)
            return True
        meant = self._names.meant(node)
        return meant is not None and meant.kind == "local" and meant.value is not None and self._is_key(meant.value)

    def _is_key_function(self, callee: Node | None) -> bool:
        meant = self._names.meant(callee)
        return meant is not None and meant.name == "key" and self._file(meant.node).endswith("prelude.lua")

    def _family(self, node: Node) -> Iterator[Fault]:
        families = [_literal(node)] if node.type == "string" else []
        meant = self._names.meant(node)
        if meant is not None and meant.kind == "loop" and meant.value is not None:
            listed = _arguments(meant.value)[0]
            if listed.type == "table_constructor":
                families = [_literal(field.named_children[0]) for field in listed.named_children]
        self._families.update(families)
        if not families and self._file(node):
            argument = self._argument(node)
            if argument is None:
                yield self._fault(
                    node,
                    f"{text(node)}: the family of a key is a literal, or an argument that the header names under KEYS",
                )
            else:
                self._argument_keys.add(argument)

    def _argument(self, node: Node) -> str | None:
        """The argument of the script that an expression is, or is a part of."""
        if node.type == "bracket_index_expression":
            return self._argument(node.named_children[0])
        meant = self._names.meant(node)
        if meant is None:
            return None
        if self._from_header(meant):
            return meant.name
        if meant.kind == "loop" and meant.value is not None:
            if meant.value.type == "function_call":
                return self._argument(_arguments(meant.value)[0])
            # A member of the group that repeats.
            return meant.name if self._argument(meant.value) else None
        return None

    def _from_header(self, one: Declaration) -> bool:
        """Whether it is an argument, or a key that is given: a local that the loader has made."""
        names = (*self._script.header.names, *self._given)
        return one.function is None and one.name in names and not self._file(one.node)

    def _unused(self) -> Iterator[Fault]:
        repeated = self._script.header.repeated
        own = self._script.parts[-1].file
        for one in self._names.declarations:
            file = self._file(one.node)
            if self._from_header(one):
                uses = [node for node, _ in one.uses if self._file(node)]
                if not uses:
                    yield self._first_line(f"its header names {one.name}, which it does not touch")
                elif repeated and one.name == repeated.name:
                    yield from self._loop(uses, [arg.name for arg in repeated.args])
            elif file and not one.uses and not one.name.startswith("_") and (file == own or one.function is not None):
                yield self._fault(one.node, f"{one.name} is declared, but never used")

    def _loop(self, uses: list[Node], names: list[str]) -> Iterator[Fault]:
        listed = uses[0].parent
        clause = listed.parent if listed else None
        if len(uses) > 1 or clause is None or clause.type != "for_generic_clause":
            yield self._fault(uses[-1], f"{text(uses[-1])}: its header says that it repeats, so one `for` goes over it")
        elif [text(name) for name in clause.named_children[0].named_children] != names:
            yield self._fault(clause, f"{text(uses[0])}: its header names {', '.join(names)}")

    def _place(self, node: Node) -> tuple[str, int]:
        line = node.start_point[0]
        part = bisect_right(self._starts, line) - 1
        return self._script.parts[part].file, line - self._starts[part] + 1

    def _file(self, node: Node) -> str:
        return self._place(node)[0]

    def _fault(self, node: Node, words: str) -> Fault:
        return Fault(*self._place(node), words)

    def _first_line(self, words: str) -> Fault:
        return Fault(self._script.parts[-1].file, 1, words)


def _arguments(call: Node) -> list[Node]:
    arguments = call.child_by_field_name("arguments")
    return list(arguments.named_children) if arguments else []


def _literal(node: Node) -> str:
    return text(node.child_by_field_name("content")) if node.type == "string" else ""
