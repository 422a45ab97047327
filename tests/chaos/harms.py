"""What is done to the system, and when: drawn from a seed before anything begins. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.cluster import WORKERS
from tests.chaos.workload import QUEUES


class Harm(StrEnum):
    """Every sort."""

    KILL = "SIGKILL"
    STOP = "SIGTERM, time to finish"
    STOP_THEN_KILL = "SIGTERM, SIGKILL 0.5 s later"
    AIM = "kills itself at a crossing"
    ROLL = "rolling restart: SIGTERM to each in turn"
    PAUSE = "SIGSTOP beyond the lease, SIGCONT"
    SERVER_KILL = "server: SIGKILL, restart from its file"
    SERVER_PAUSE = "server: frozen for 5 s"
    SERVER_FULL = "server: out of memory"
    SERVER_REPLICA = "server: read-only replica"
    SCRIPTS = "server: scripts forgotten"
    CONNECTIONS = "server: every connection cut"
    MESSAGES = "server: hints wiped"
    REFUSE = "network: refused"
    RESET = "network: reset"
    HOLE = "network: black hole"
    DRIP = "network: 1 byte a second"
    LATENCY = "network: latency"
    CUT = "network: cut after the headers"


DEADLY = frozenset({Harm.KILL, Harm.STOP, Harm.STOP_THEN_KILL, Harm.AIM, Harm.ROLL, Harm.SERVER_KILL})
"""Those that end a process."""
OF_SERVER = (
    Harm.SERVER_KILL,
    Harm.SCRIPTS,
    Harm.CONNECTIONS,
    Harm.MESSAGES,
    Harm.SERVER_FULL,
    Harm.SERVER_REPLICA,
    Harm.SERVER_PAUSE,
)
OF_NETWORK = (Harm.REFUSE, Harm.RESET, Harm.HOLE, Harm.DRIP, Harm.LATENCY, Harm.CUT)
LASTS = {
    Harm.SERVER_PAUSE: 5.0,
    Harm.SERVER_FULL: 3.0,
    Harm.SERVER_REPLICA: 3.0,
    Harm.REFUSE: 3.0,
    Harm.HOLE: 6.0,
    Harm.DRIP: 6.0,
    Harm.LATENCY: 6.0,
    Harm.CUT: 3.0,
}
"""Seconds."""
PAUSES = {"worker1": 9.0, "worker2": 9.0, "worker3": 9.0, "fetcher": 9.0, "webhook": 3.0, "service": 3.0, "beat": 9.0}
"""Who is frozen, and for how long (s): what holds leases, beyond them."""
TARGETS = {
    **dict.fromkeys(WORKERS, 5.0),
    "fetcher": 2.0,
    "service": 2.0,
    # The remote tries an event three times and no more.
    "webhook": 1.0,
    **dict.fromkeys((f"consumer-{queue}" for queue in QUEUES), 2.0),
    # The one with the lock is missed for 25 s: no tick meanwhile.
    "beat": 0.3,
    "beat2": 0.3,
}
"""Who is killed, with weights."""
APART = 3.0
"""Seconds between rolling restarts, and in one between two processes."""
CROSSINGS = (
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
OF_RECEIVER = ("before apply", "after apply", "before record", "after record", "after after_event")


@dataclass(frozen=True, slots=True)
class Blow:
    """One harm at `at` (s from the beginning) for `lasts` seconds; `crossing` and `passed` for those that kill
    themselves.
    """

    at: float
    harm: Harm
    target: str = ""
    lasts: float = 0.0
    crossing: str = ""
    passed: int = 1

    def __str__(self) -> str:
        words = [f"{self.at:7.1f}", self.harm, self.target]
        words += [f"for {self.lasts:g} s"] if self.lasts else []
        words += [f"`{self.crossing}` no. {self.passed}"] if self.crossing else []
        return " ".join(word for word in words if word)


def plan(draw: random.Random, seconds: float, kills: int, *, gap: float, rolls: int) -> list[Blow]:
    """`kills` deaths, a rolling restart every `rolls` seconds, and, one after the other with `gap` seconds between,
    pauses and the server's and network's harms.
    """
    blows = [_death(draw, draw.uniform(0, seconds)) for _ in range(kills)]
    for harms, kinds in (
        (_shuffled(draw, OF_SERVER), 1.5),
        (_shuffled(draw, OF_NETWORK), 1.0),
        (_shuffled(draw, (Harm.PAUSE,)), 1.0),
    ):
        at, number = draw.uniform(0, gap), 0
        while at < seconds:
            harm = harms[number % len(harms)]
            target = draw.choice(list(PAUSES)) if harm is Harm.PAUSE else ""
            lasts = PAUSES.get(target, 0.0) or LASTS.get(harm, 0.0)
            blows.append(Blow(at, harm, target, lasts))
            # Never two of one sort at once: a server that is frozen can't be told to be a replica.
            at += lasts + gap * kinds * draw.uniform(0.5, 1.5)
            number += 1
    return sorted([*blows, *_rolling(seconds, rolls)], key=lambda blow: blow.at)


def _rolling(seconds: float, rolls: int) -> list[Blow]:
    """All processes in turn, as an upgrade does it; as often as there is time for."""
    return [
        Blow(begun + number * APART, Harm.ROLL, name)
        for begun in range(rolls, int(seconds), rolls)
        for number, name in enumerate(TARGETS)
    ]


def _death(draw: random.Random, at: float) -> Blow:
    (target,) = draw.choices(list(TARGETS), list(TARGETS.values()))
    harms = [Harm.KILL, Harm.STOP, Harm.STOP_THEN_KILL]
    if target in WORKERS or target == "webhook":
        (harm,) = draw.choices([*harms, Harm.AIM], [3, 1, 1, 4])
    else:
        (harm,) = draw.choices(harms, [5, 1, 1])
    if harm is not Harm.AIM:
        return Blow(at, harm, target)
    crossing = draw.choice(OF_RECEIVER if target == "webhook" else CROSSINGS)
    return Blow(at, harm, target, 0.0, crossing, draw.choice((1, 1, 2, 3)))


def _shuffled(draw: random.Random, harms: Sequence[Harm]) -> list[Harm]:
    return draw.sample(harms, len(harms))
