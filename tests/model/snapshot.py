"""A snapshot of a space of the ledger, with which the machines compare their own state; and how they pick one of
several things.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from longhaul.ledger.results import PREFIX


@dataclass
class Snapshot:
    """`places`: for each id, its lanes and when it is due there. `lives`: milliseconds that a record has left, -1 for
    ever.

    `beside`: the other keys of the space that belong to one id, as `<name>:<id>`. `rest`: all other keys.
    """

    records: dict[str, dict[str, str]] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)
    places: dict[str, dict[str, float]] = field(default_factory=dict)
    beside: set[str] = field(default_factory=set)
    envelopes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rest: set[str] = field(default_factory=set)


def see(redis: Redis, space: str, beside: Sequence[str]) -> Snapshot:
    """Everything in two round trips; nothing else may run meanwhile. `beside`: names of what stands beside a record."""
    snapshot, pipe, reads = Snapshot(), redis.pipeline(transaction=False), []
    for key in sorted(str(key) for key in redis.keys("*")):
        kind, name = _kind(key, space)
        if kind in READS:
            READS[kind](pipe, key)
            reads.append((kind, name))
        elif kind in beside:
            snapshot.beside.add(f"{kind}:{name}")
        else:
            snapshot.rest.add(key.removeprefix(f"{space}:"))
    answers = iter(pipe.execute())
    for kind, name in reads:
        found = next(answers)
        if kind == "record":
            snapshot.records[name], snapshot.lives[name] = found, next(answers)
        elif kind == "due":
            for id_, due in found:
                snapshot.places.setdefault(str(id_), {})[name] = float(due)
        else:
            snapshot.envelopes[name] = [json.loads(fields["envelope"]) for _, fields in found]
    return snapshot


def pick(which: int, among: Iterable[Any]) -> Any:
    """One of those that are there, whatever number was drawn."""
    found = list(among)
    return found[which % len(found)]


def _kind(key: str, space: str) -> tuple[str, str]:
    if key.startswith(PREFIX):
        return "results", key.removeprefix(PREFIX)
    kind, _, name = key.removeprefix(f"{space}:").partition(":") if key.startswith(f"{space}:") else ("", "", key)
    return kind, name


READS = {
    "record": lambda pipe, key: pipe.hgetall(key).pttl(key),
    "due": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    "results": lambda pipe, key: pipe.xrange(key),
}
