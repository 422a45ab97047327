"""The doing of harm, blow by blow, each undone when its time is over."""

from __future__ import annotations

import heapq
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from redis import Redis
from redis.exceptions import RedisError

from config.celery_settings import BATCHES, SERVICE, UPKEEP
from tests.chaos.cluster import SERVER, Plant
from tests.chaos.harms import Blow, Harm

HEADERS = 180
"""Bytes of an answer after which it is cut: its headers, and little more."""
LATENCY = 0.5
IMPATIENCE = 0.5
HINTS = (BATCHES, UPKEEP, SERVICE)
"""Queues whose messages are only hints. `celery` is none: its messages are the only copies of their jobs until they are
recorded.
"""
NOBODY = 9


@dataclass
class Hands:
    """`done` counts harms by sort, less those that found nobody there; an aim is one when it is met: see `Plant.aimed`."""

    plant: Plant
    done: Counter[Harm] = field(default_factory=Counter)
    _undoing: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _number: count[int] = field(default_factory=count)

    def work(self, blows: Sequence[Blow]) -> None:
        """Do it all, in its time; at the end everything is undone."""
        began = time.monotonic()
        for blow in blows:
            self._wait(began + blow.at)
            try:
                did = self._do(blow)
            except RedisError:
                # The server is away by another blow.
                did = False
            self.done[blow.harm] += did
        while self._undoing:
            self._wait(self._undoing[0][0])
        self.plant.take_back_aims()
        self.plant.weather.change()

    def _wait(self, until: float) -> None:
        while self._undoing and self._undoing[0][0] <= until:
            at, _, undo = heapq.heappop(self._undoing)
            time.sleep(max(0.0, at - time.monotonic()))
            undo()
        time.sleep(max(0.0, until - time.monotonic()))

    def _later(self, seconds: float, undo: Callable[[], object]) -> None:
        heapq.heappush(self._undoing, (time.monotonic() + seconds, next(self._number), undo))

    def _do(self, blow: Blow) -> bool:
        match blow.harm:
            case Harm.AIM:
                self.plant.aim(blow.target, blow.crossing, blow.passed)
                return False
            case Harm.KILL | Harm.STOP | Harm.STOP_THEN_KILL | Harm.ROLL | Harm.SERVER_KILL:
                return self._end(blow)
            case Harm.PAUSE | Harm.SERVER_PAUSE:
                return self._pause(blow.target or SERVER, blow.lasts)
            case Harm.SERVER_FULL | Harm.SERVER_REPLICA | Harm.SCRIPTS | Harm.CONNECTIONS | Harm.MESSAGES:
                return self._to_server(blow, self.plant.redis)
            case _:
                return self._to_network(blow)

    def _end(self, blow: Blow) -> bool:
        politely = blow.harm in {Harm.STOP, Harm.STOP_THEN_KILL, Harm.ROLL}
        ends_already = self.plant.is_doomed(blow.target or SERVER)
        pid = self.plant.signal(blow.target or SERVER, signal.SIGTERM if politely else signal.SIGKILL)
        if pid is not None and blow.harm is Harm.STOP_THEN_KILL:
            # Another process may have the part's name by then.
            self._later(IMPATIENCE, lambda: self.plant.signal(blow.target, signal.SIGKILL, only=pid))
        return pid is not None and not ends_already

    def _pause(self, name: str, lasts: float) -> bool:
        pid = self.plant.signal(name, signal.SIGSTOP)
        if pid is None:
            return False
        self._later(lasts, lambda: self.plant.signal(name, signal.SIGCONT, only=pid))
        return True

    def _to_server(self, blow: Blow, redis: Redis) -> bool:
        match blow.harm:
            case Harm.SERVER_FULL:
                redis.config_set("maxmemory", 1)
                self._later(blow.lasts, lambda: insist(lambda: redis.config_set("maxmemory", 0)))
            case Harm.SERVER_REPLICA:
                redis.replicaof("127.0.0.1", NOBODY)
                self._later(blow.lasts, lambda: insist(lambda: redis.replicaof("NO", "ONE")))
            case Harm.SCRIPTS:
                redis.script_flush()
            case Harm.CONNECTIONS:
                redis.client_kill_filter(_type="normal", skipme=True)
            case Harm.MESSAGES:
                wipe_hints(redis)
        return True

    def _to_network(self, blow: Blow) -> bool:
        weather = self.plant.weather
        match blow.harm:
            case Harm.REFUSE:
                weather.change(refuse=True)
                weather.cut()
            case Harm.RESET:
                weather.cut()
                return True
            case Harm.HOLE:
                weather.change(swallow=True)
            case Harm.DRIP:
                weather.change(rate=1.0)
            case Harm.LATENCY:
                weather.change(delay=LATENCY)
            case Harm.CUT:
                weather.change(cut_after=HEADERS)
        self._later(blow.lasts, weather.change)
        return True


def insist(act: Callable[[], object]) -> None:
    """Until the server takes it; a server that was started again meanwhile is as it should be."""
    for _ in range(100):
        with suppress(RedisError):
            act()
            return
        time.sleep(0.1)


def wipe_hints(redis: Redis) -> None:
    """The broker's messages are gone, but for submissions; also those that a worker has taken and not acknowledged."""
    redis.delete(*HINTS)
    for tag, text in redis.hgetall("unacked").items():
        if json.loads(text)[2] in HINTS:
            redis.hdel("unacked", tag)
            redis.zrem("unacked_index", tag)
