"""Records that are spoilt on purpose, a decider with a bug, and what is in quarantine for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from longhaul.jobs.decider import JobDecider
from longhaul.jobs.job import JobStep
from longhaul.work.balance import balance
from longhaul.work.batch_runner import BatchRunner
from tests.builders import default_policies
from tests.flow.conftest import World

SPACE = "longhaul:{jobs}"


def spoil(world: World, id_: str, name: str, value: str | bytes) -> None:
    """Write `value` into a blob or a field of a record, as no part of ours would."""
    if name in {"target", "options"}:
        world.redis.set(f"{SPACE}:{name}:{id_}", value)
    else:
        world.redis.hset(f"{SPACE}:record:{id_}", name, value)


def wait_out(world: World, *steps: JobStep, rounds: int = 6) -> None:
    """Healthy batches, with more time between them than any pause before the next try."""
    for _ in range(rounds):
        world.run(*(steps or JobStep))
        world.clock.now += 130


def quarantined(world: World) -> dict[str, tuple[str, str]]:
    """Lane of origin and reason of each job that is set aside; the books balance."""
    assert balance(world.store.books()).faults == []
    assert world.store.quarantine.count() == len(world.store.quarantine.ids())
    return {one.id: (one.origin, one.words) for one in world.store.quarantine.first(100)}


SPOILT = [
    ("target", "{", "target"),
    ("target", '["a"]', "target"),
    ("target", '{"url": 5}', "target"),
    ("target", "{}", "target"),
    ("target", b'{"url": "http://x/\xff"}', "target"),
    ("state", "perhaps", "state"),
    ("created", "soon", "created"),
    ("created", "inf", "created"),
    ("created", "nan", "created"),
    ("created", "1e300", "created"),
    ("fence", "first", ""),
    ("attempts", "many", "attempts"),
    ("losses", "1.5", "losses"),
    ("queue", b"\xff\xfe", "queue"),
    ("queue", "a:b", "queue"),
]


class Bug:
    """A decider with a bug that meets one job: the fault of a program cannot be made at the far end."""

    def __init__(self, id_: str) -> None:
        self._decider, self._id = JobDecider(default_policies()), id_

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._decider, name)

        def decide(step: JobStep, job: Any, *args: Any) -> Any:
            if job.id == self._id:
                raise KeyError("apiKey=hunter2")
            return found(step, job, *args)

        return decide


def buggy(world: World, id_: str) -> BatchRunner:
    return replace(world.runner, decider=Bug(id_))
