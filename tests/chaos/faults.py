"""The faults that a run injects, and their schedule, drawn from a seed before the run starts. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.cluster import WORKERS
from tests.chaos.workload import QUEUES


class Fault(StrEnum):
    """Every kind of fault."""

    KILL = "SIGKILL"
    STOP = "SIGTERM, time to finish"
    STOP_THEN_KILL = "SIGTERM, SIGKILL 0.5 s later"
    CRASH_POINT = "SIGKILL at a crash point"
    ROLL = "rolling restart: SIGTERM to each in turn"
    PAUSE = "SIGSTOP beyond the lease, SIGCONT"
    SERVER_KILL = "server: SIGKILL, restart from its file"
    SERVER_PAUSE = "server: frozen for 5 s"
    SERVER_FULL = "server: out of memory"
    SERVER_REPLICA = "server: read-only replica"
    SCRIPTS = "server: scripts flushed"
    CONNECTIONS = "server: every connection closed"
    MESSAGES = "server: hint queues deleted"
    REFUSE = "network: refused"
    RESET = "network: reset"
    HOLE = "network: black hole"
    DRIP = "network: 1 byte a second"
    LATENCY = "network: latency"
    CUT = "network: cut after the headers"


FATAL = frozenset({Fault.KILL, Fault.STOP, Fault.STOP_THEN_KILL, Fault.CRASH_POINT, Fault.ROLL, Fault.SERVER_KILL})
"""Faults that end a process."""
SERVER_FAULTS = (
    Fault.SERVER_KILL,
    Fault.SCRIPTS,
    Fault.CONNECTIONS,
    Fault.MESSAGES,
    Fault.SERVER_FULL,
    Fault.SERVER_REPLICA,
    Fault.SERVER_PAUSE,
)
NETWORK_FAULTS = (Fault.REFUSE, Fault.RESET, Fault.HOLE, Fault.DRIP, Fault.LATENCY, Fault.CUT)
DURATION_SECONDS = {
    Fault.SERVER_PAUSE: 5.0,
    Fault.SERVER_FULL: 3.0,
    Fault.SERVER_REPLICA: 3.0,
    Fault.REFUSE: 3.0,
    Fault.HOLE: 6.0,
    Fault.DRIP: 6.0,
    Fault.LATENCY: 6.0,
    Fault.CUT: 3.0,
}
PAUSE_SECONDS = {
    **dict.fromkeys(WORKERS, 9.0),
    "fetcher": 9.0,
    "webhook": 3.0,
    "service": 3.0,
    "beat": 9.0,
}
"""How long each process is frozen. Those that hold leases are frozen for longer than a lease."""
KILL_WEIGHTS = {
    **dict.fromkeys(WORKERS, 5.0),
    "fetcher": 2.0,
    "service": 2.0,
    # The remote tries to deliver an event only three times.
    "webhook": 1.0,
    **dict.fromkeys((f"consumer-{queue}" for queue in QUEUES), 2.0),
    # When the beat with the lock dies, there is no tick for 25 s.
    "beat": 0.3,
    "beat2": 0.3,
}
"""How often each process is killed, relative to the others."""
ROLL_GAP_SECONDS = 3.0
"""Between two processes of a rolling restart."""
CRASH_POINTS = (
    "before submit",
    "after submit",
    "before claim",
    "after claim",
    "before act",
    "an answer was read",
    "after decide",
    "before apply",
    "after apply",
    "an answer was dealt with",
    "before leave",
    "after dispatch",
    "after cancel",
)
"""Of a worker; named by `tests.flow.crash_points`."""
RECEIVER_CRASH_POINTS = ("before apply", "after apply", "before record", "after record", "after after_event")


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault, injected `at` seconds after the start into `target`, for `seconds`. With `CRASH_POINT` the process
    dies when it passes `crash_point` for the `passes`-th time.
    """

    at: float
    fault: Fault
    target: str = ""
    seconds: float = 0.0
    crash_point: str = ""
    passes: int = 1

    def __str__(self) -> str:
        words = [f"{self.at:7.1f}", self.fault, self.target]
        words += [f"for {self.seconds:g} s"] if self.seconds else []
        words += [f"`{self.crash_point}` no. {self.passes}"] if self.crash_point else []
        return " ".join(word for word in words if word)


def schedule(
    draw: random.Random, seconds: float, kills: int, *, gap_seconds: float, roll_seconds: int
) -> list[Injection]:
    """The injections of a run, in order: `kills` kills, a rolling restart every `roll_seconds`, and, of pauses, server
    faults and network faults, one of each at a time with about `gap_seconds` in between.
    """
    injections = [_kill(draw, draw.uniform(0, seconds)) for _ in range(kills)]
    for faults, gaps in (
        (_shuffled(draw, SERVER_FAULTS), 1.5),
        (_shuffled(draw, NETWORK_FAULTS), 1.0),
        (_shuffled(draw, (Fault.PAUSE,)), 1.0),
    ):
        at, number = draw.uniform(0, gap_seconds), 0
        while at < seconds:
            fault = faults[number % len(faults)]
            target = draw.choice(list(PAUSE_SECONDS)) if fault is Fault.PAUSE else ""
            duration = PAUSE_SECONDS.get(target, 0.0) or DURATION_SECONDS.get(fault, 0.0)
            injections.append(Injection(at, fault, target, duration))
            # Never two server faults at once: a frozen server can't be made a replica.
            at += duration + gap_seconds * gaps * draw.uniform(0.5, 1.5)
            number += 1
    return sorted([*injections, *_rolling_restarts(seconds, roll_seconds)], key=lambda injection: injection.at)


def _rolling_restarts(seconds: float, roll_seconds: int) -> list[Injection]:
    """Restart all processes in turn, as an upgrade does."""
    return [
        Injection(begun + number * ROLL_GAP_SECONDS, Fault.ROLL, name)
        for begun in range(roll_seconds, int(seconds), roll_seconds)
        for number, name in enumerate(KILL_WEIGHTS)
    ]


def _kill(draw: random.Random, at: float) -> Injection:
    (target,) = draw.choices(list(KILL_WEIGHTS), list(KILL_WEIGHTS.values()))
    faults = [Fault.KILL, Fault.STOP, Fault.STOP_THEN_KILL]
    if target in WORKERS or target == "webhook":
        (fault,) = draw.choices([*faults, Fault.CRASH_POINT], [3, 1, 1, 4])
    else:
        (fault,) = draw.choices(faults, [5, 1, 1])
    if fault is not Fault.CRASH_POINT:
        return Injection(at, fault, target)
    crash_point = draw.choice(RECEIVER_CRASH_POINTS if target == "webhook" else CRASH_POINTS)
    return Injection(at, fault, target, 0.0, crash_point, draw.choice((1, 1, 2, 3)))


def _shuffled(draw: random.Random, faults: Sequence[Fault]) -> list[Fault]:
    return draw.sample(faults, len(faults))
