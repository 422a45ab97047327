"""Run the scripts: one call, or many in one round trip, whatever the server still knows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from redis import Redis
from redis.asyncio.client import Pipeline as AsyncPipeline
from redis.client import Pipeline
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from longhaul.ledger.script import LEDGER, Script, load_script
from longhaul.ledger.script_arguments import Value

__all__ = ["Clock", "Lua", "ScriptCall", "Transitions", "Value", "raised", "unwrapped"]

Clock = Callable[[], float]
"""Epoch seconds."""
Transitions = Mapping[Any, Iterable[str]]
"""The states that can follow each state; a `StrEnum` is as good as strings."""
_WRAPPED = {": -OOM ": OutOfMemoryError, ": -READONLY ": ReadOnlyError}
"""What servers before 7.0 hide in the error of the script that met it."""


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of one script: `name` without `.lua`, and its ARGV."""

    name: str
    args: Sequence[Value]


class Lua:
    """The scripts of one space.

    A pipeline of redis-py's own `Script` objects asks `SCRIPT EXISTS` before every execution, a second round trip; here
    the server is trusted to know its scripts, and taught again when it has forgotten them (a restart, a failover).
    `own` is a folder of further scripts, the space's own; `clock` replaces the server's time in tests.
    """

    def __init__(
        self,
        redis: Redis,
        space: str,
        transitions: Transitions,
        *,
        own: Traversable = LEDGER,
        clock: Clock | None = None,
    ) -> None:
        self._redis = redis
        self._space = space
        self._table = _lua_table(transitions)
        self._own = own
        self._clock = clock
        self._scripts: dict[str, Script] = {}

    def call(self, name: str, /, **values: Any) -> ScriptCall:
        """The call of a script with these arguments, but for `now`; raises TypeError where the header has others."""
        arguments = self._script(name).arguments
        if arguments.wants_now:
            # Empty, so that it is the server's time.
            values["now"] = "" if self._clock is None else self._clock()
        return ScriptCall(name, arguments.of(values))

    def run(self, name: str, /, **values: Any) -> Any:
        """Run one script; raises what `call` and redis-py raise."""
        return self.run_all([self.call(name, **values)])[0]

    def run_all(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run the scripts in one round trip, each atomic for itself, answers in order; raises the first error after all
        have run.
        """
        return raised(self.run_each(calls))

    def run_each(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Like `run_all`, but returns the errors of scripts instead of raising the first; raises only where the server
        does not answer.
        """
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
            pipe.evalsha(self._script(call.name).digest, 1, self._space, *call.args)

    def text(self, name: str) -> str:
        """A script as the server has to know it."""
        return self._script(name).text

    def now(self) -> float:
        """The ledger's time, epoch seconds."""
        if self._clock is not None:
            return self._clock()
        seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6

    def _send(self, calls: Sequence[ScriptCall]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        self.queue(pipe, calls)
        return unwrapped(pipe.execute(raise_on_error=False))

    def _script(self, name: str) -> Script:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = load_script(name, self._own, self._table)
        return script


def unwrapped(answers: list[Any]) -> list[Any]:
    """The answers to calls, with errors of the server as themselves that a script has wrapped into its own."""
    for at, answer in enumerate(answers):
        if isinstance(answer, ResponseError):
            for words, error in _WRAPPED.items():
                if words in str(answer):
                    answers[at] = error(str(answer))
    return answers


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
