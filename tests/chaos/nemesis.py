"""The nemesis: injects the faults of a schedule into a running cluster and undoes each when its time is over."""

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
from tests.chaos.cluster import SERVER, Cluster
from tests.chaos.faults import Fault, Injection

CUT_AFTER_BYTES = 180
"""An answer's headers, and little more."""
LATENCY_SECONDS = 0.5
KILL_AFTER_SECONDS = 0.5
"""Between SIGTERM and SIGKILL."""
HINT_QUEUES = (BATCHES, UPKEEP, SERVICE)
"""Queues that may be deleted: their messages only say that work is due. A message in `celery` is the only copy of its
job until it is recorded.
"""
UNUSED_PORT = 9


@dataclass
class Nemesis:
    """`injected` counts the faults that took effect, by kind. A crash point counts when it was reached: see
    `Cluster.crashes`.
    """

    cluster: Cluster
    injected: Counter[Fault] = field(default_factory=Counter)
    _undos: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _number: count[int] = field(default_factory=count)

    def inject(self, schedule: Sequence[Injection]) -> None:
        """Inject each fault at its time; return when all of them are undone."""
        began = time.monotonic()
        for injection in schedule:
            self._wait(began + injection.at)
            try:
                took_effect = self._inject(injection)
            except RedisError:
                # Another fault has taken the server away.
                took_effect = False
            self.injected[injection.fault] += took_effect
        while self._undos:
            self._wait(self._undos[0][0])
        self.cluster.disarm()
        self.cluster.network.change()

    def _wait(self, until: float) -> None:
        while self._undos and self._undos[0][0] <= until:
            at, _, undo = heapq.heappop(self._undos)
            time.sleep(max(0.0, at - time.monotonic()))
            undo()
        time.sleep(max(0.0, until - time.monotonic()))

    def _later(self, seconds: float, undo: Callable[[], object]) -> None:
        heapq.heappush(self._undos, (time.monotonic() + seconds, next(self._number), undo))

    def _inject(self, injection: Injection) -> bool:
        match injection.fault:
            case Fault.CRASH_POINT:
                self.cluster.arm(injection.target, injection.crash_point, injection.passes)
                return False
            case Fault.KILL | Fault.STOP | Fault.STOP_THEN_KILL | Fault.ROLL | Fault.SERVER_KILL:
                return self._end(injection)
            case Fault.PAUSE | Fault.SERVER_PAUSE:
                return self._pause(injection.target or SERVER, injection.seconds)
            case Fault.SERVER_FULL | Fault.SERVER_REPLICA | Fault.SCRIPTS | Fault.CONNECTIONS | Fault.MESSAGES:
                return self._disturb_server(injection, self.cluster.redis)
            case _:
                return self._disturb_network(injection)

    def _end(self, injection: Injection) -> bool:
        gracefully = injection.fault in {Fault.STOP, Fault.STOP_THEN_KILL, Fault.ROLL}
        already_ending = self.cluster.is_ending(injection.target or SERVER)
        pid = self.cluster.signal(injection.target or SERVER, signal.SIGTERM if gracefully else signal.SIGKILL)
        if pid is not None and injection.fault is Fault.STOP_THEN_KILL:
            # By then the part may be another process.
            self._later(KILL_AFTER_SECONDS, lambda: self.cluster.signal(injection.target, signal.SIGKILL, only_pid=pid))
        return pid is not None and not already_ending

    def _pause(self, name: str, seconds: float) -> bool:
        pid = self.cluster.signal(name, signal.SIGSTOP)
        if pid is None:
            return False
        self._later(seconds, lambda: self.cluster.signal(name, signal.SIGCONT, only_pid=pid))
        return True

    def _disturb_server(self, injection: Injection, redis: Redis) -> bool:
        match injection.fault:
            case Fault.SERVER_FULL:
                redis.config_set("maxmemory", 1)
                self._later(injection.seconds, lambda: retry(lambda: redis.config_set("maxmemory", 0)))
            case Fault.SERVER_REPLICA:
                redis.replicaof("127.0.0.1", UNUSED_PORT)
                self._later(injection.seconds, lambda: retry(lambda: redis.replicaof("NO", "ONE")))
            case Fault.SCRIPTS:
                redis.script_flush()
            case Fault.CONNECTIONS:
                redis.client_kill_filter(_type="normal", skipme=True)
            case Fault.MESSAGES:
                delete_hints(redis)
        return True

    def _disturb_network(self, injection: Injection) -> bool:
        network = self.cluster.network
        match injection.fault:
            case Fault.REFUSE:
                network.change(refuse=True)
                network.cut()
            case Fault.RESET:
                network.cut()
                return True
            case Fault.HOLE:
                network.change(swallow=True)
            case Fault.DRIP:
                network.change(rate=1.0)
            case Fault.LATENCY:
                network.change(delay=LATENCY_SECONDS)
            case Fault.CUT:
                network.change(cut_after=CUT_AFTER_BYTES)
        self._later(injection.seconds, network.change)
        return True


def retry(undo: Callable[[], object]) -> None:
    """Call `undo` until the server answers. One that was restarted meanwhile has lost the fault anyway."""
    for _ in range(100):
        with suppress(RedisError):
            undo()
            return
        time.sleep(0.1)


def delete_hints(redis: Redis) -> None:
    """Delete the broker's messages but for submissions, also those that a worker has taken and not acknowledged."""
    redis.delete(*HINT_QUEUES)
    for tag, text in redis.hgetall("unacked").items():
        if json.loads(text)[2] in HINT_QUEUES:
            redis.hdel("unacked", tag)
            redis.zrem("unacked_index", tag)
