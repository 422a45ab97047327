"""The scripts of one space, run from an event loop: for a process whose requests live there, and for which a thread
would be a detour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError

from longhaul.ledger.lua import Lua, ScriptCall, raised, unwrapped


class AsyncLua:
    """`lua`, but for the connection: its scripts run on `redis`, which belongs to one event loop."""

    def __init__(self, lua: Lua, redis: AsyncRedis) -> None:
        self._lua = lua
        self._redis = redis

    async def run_all(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """`Lua.run_all`."""
        answers = await self._send(calls)
        forgotten = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if forgotten:
            for name in {calls[at].name for at in forgotten}:
                await self._redis.script_load(self._lua.text(name))
            for at, answer in zip(forgotten, await self._send([calls[at] for at in forgotten]), strict=True):
                answers[at] = answer
        return raised(answers)

    async def _send(self, calls: Sequence[ScriptCall]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        self._lua.queue(pipe, calls)
        return unwrapped(await pipe.execute(raise_on_error=False))
