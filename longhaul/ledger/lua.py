"""Run the scripts: one call, or many in one round trip, whatever the server still knows of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from redis import Redis
from redis.asyncio.client import Pipeline as AsyncPipeline
from redis.client import Pipeline
from redis.exceptions import NoScriptError

Value = str | bytes | int | float
Transitions = Mapping[Any, Iterable[str]]
"""The states that can follow each state; a `StrEnum` is as good as strings."""
INCLUDE = re.compile(r"--\[\[INCLUDE (\w+)\]\]")


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of one script: `name` without `.lua`, and its ARGV."""

    name: str
    args: Sequence[Value]


class Lua:
    """The scripts of one space.

    A pipeline of redis-py's own `Script` objects asks `SCRIPT EXISTS` before every execution, a second round trip; here
    the server is trusted to know its scripts, and taught again when it has forgotten them (a restart, a failover).
    `own` is a folder of further scripts, the space's own; the prelude stands before these, too, and then a
    `prelude.lua` of that folder.
    """

    def __init__(self, redis: Redis, space: str, transitions: Transitions, own: Traversable | None = None) -> None:
        self._redis = redis
        self._space = space
        self._table = _lua_table(transitions)
        self._own = own
        self._texts: dict[str, str] = {}
        self._digests: dict[str, str] = {}

    def run(self, name: str, *args: Value) -> Any:
        """Run one script; raises what redis-py raises."""
        return self.run_all([ScriptCall(name, args)])[0]

    def run_all(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run the scripts in one round trip, each atomic for itself, answers in order; raises the first error after all
        have run.
        """
        return raised(self.run_each(calls))

    def run_each(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Likewise, but an error of one script is its answer; raises only where the server does not answer."""
        answers = self._send(calls)
        forgotten = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if forgotten:
            for name in {calls[at].name for at in forgotten}:
                self._redis.script_load(self.text(name))
            for at, answer in zip(forgotten, self._send([calls[at] for at in forgotten]), strict=True):
                answers[at] = answer
        return answers

    def queue(self, pipe: Pipeline | AsyncPipeline, calls: Sequence[ScriptCall]) -> None:
        """Put calls into a pipeline."""
        for call in calls:
            pipe.evalsha(self._digest(call.name), 1, self._space, *call.args)

    def text(self, name: str) -> str:
        """A script as the server has to know it."""
        if name not in self._texts:
            common = files("longhaul.ledger") / "scripts"
            parts = [(common / "prelude.lua").read_text().replace("--[[TRANSITIONS]]", self._table)]
            folder = common
            if self._own is not None and (self._own / f"{name}.lua").is_file():
                folder = self._own
                own_prelude = folder / "prelude.lua"
                parts += [own_prelude.read_text()] if own_prelude.is_file() else []
            text = INCLUDE.sub(
                lambda named: (common / f"{named[1]}.lua").read_text(), (folder / f"{name}.lua").read_text()
            )
            self._texts[name] = "".join([*parts, text])
        return self._texts[name]

    def _send(self, calls: Sequence[ScriptCall]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        self.queue(pipe, calls)
        return pipe.execute(raise_on_error=False)

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            self._digests[name] = sha1(self.text(name).encode(), usedforsecurity=False).hexdigest()
        return self._digests[name]


def raised(answers: list[Any]) -> list[Any]:
    """The answers to calls, none of which is an error: the first one is raised."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _lua_table(transitions: Transitions) -> str:
    moves = [f'["{source}>{target}"] = true' for source, targets in transitions.items() for target in sorted(targets)]
    left = [f'["{source}>"] = true' for source, targets in transitions.items() if targets]
    return "{" + ", ".join(moves + left) + "}"
