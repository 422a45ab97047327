"""One run: load, harm, settle, judge."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from config.celery_settings import INTAKE
from longhaul.crawls.store import CrawlStore
from longhaul.jobs.store import JobStore
from longhaul.work.balance import balance
from tests.builders import crawl_limits, job_limits
from tests.chaos import notebooks
from tests.chaos.callers import Callers
from tests.chaos.checker import Judgement, judge
from tests.chaos.cluster import SERVER, Plant, running
from tests.chaos.ends import strange_ends
from tests.chaos.harms import DEADLY, Blow, Harm, plan
from tests.chaos.leftovers import leftovers, losses
from tests.chaos.logbook import Logbook, read_logs
from tests.chaos.nemesis import Hands
from tests.chaos.workload import QUEUES, Cargo, load

LOOKS_EVERY = 0.5
REST = 240.0
QUIET = 75.0
"""So long a message may wait that a dead worker held: until it is visible again, and until the sweep of another dead
one lapses.
"""
LEAST_DEADLINE = 600.0
"""So long a job may be refused, again and again, each pause longer than the last, and still come home."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it. Times in seconds: `harm` for which there is harm, `settles` at most until all is done; `gap`
    between harms of a sort, `rolls` between rolling restarts.
    """

    jobs: int
    crawls: int
    kills: int
    harm: float
    settles: float
    gap: float
    rolls: int
    lasting: bool
    settings: dict[str, str] = field(default_factory=dict)


def short() -> Size:
    """Belongs to `make test`."""
    return Size(
        400,
        9,
        25,
        45.0,
        100.0,
        3.0,
        23,
        lasting=False,
        settings={"LONGHAUL_DEADLINE": "300", "LONGHAUL_CRAWL_GRACE": "10"},
    )


def long(jobs: int, minutes: float, kills: int) -> Size:
    """A quarter of the time is for coming to rest, and at least `REST` seconds.

    In a run that lasts for long enough there are jobs that end at the deadline, sent at the very beginning.
    """
    harm = minutes * 60 * 0.75
    settings = {"LONGHAUL_DEADLINE": f"{max(harm, LEAST_DEADLINE):.0f}", "LONGHAUL_CRAWL_GRACE": "70"}
    return Size(
        jobs,
        max(12, jobs // 300),
        kills,
        harm,
        max(harm / 3, REST),
        24.0,
        200,
        lasting=harm >= LEAST_DEADLINE,
        settings=settings,
    )


@dataclass
class Outcome:
    """What one run has shown; `faults` of every sort, none is good."""

    seed: int
    size: Size
    cargo: Cargo
    done: Counter[Harm]
    aimed: Counter[str]
    by_itself: Counter[str]
    judgement: Judgement
    logbook: Logbook
    faults: list[str]
    losses: int
    read_again: int
    sent_again: int
    seconds: float
    settled: float

    @property
    def kills(self) -> int:
        """Deaths that the suite brought about."""
        return sum(count for harm, count in self.done.items() if harm in DEADLY)


def blows_of(seed: int, size: Size, only: Sequence[Harm] = ()) -> list[Blow]:
    """The plan of this seed; of `only` some sorts, where they are named."""
    blows = plan(random.Random(f"harms {seed}"), size.harm, size.kills, gap=size.gap, rolls=size.rolls)  # noqa: S311  (repeatable)
    return [blow for blow in blows if not only or blow.harm in only]


def go(seed: int, size: Size, folder: Path, only: Sequence[Harm] = ()) -> Outcome:
    """A run with its files in `folder`, which must be new."""
    began = time.monotonic()
    draw = random.Random(f"cargo {seed}")  # noqa: S311  (repeatable)
    cargo = load(draw, size.jobs, size.crawls, lasting=size.lasting)
    faults: list[str] = []
    with running(folder, size.settings) as plant:
        callers = Callers(plant.local.redis_url, plant.redis, cargo, size.harm * 0.95)
        hands = Hands(plant)
        callers.start()
        worker = threading.Thread(target=hands.work, args=(blows_of(seed, size, only),))
        worker.start()
        worker.join()
        rest, calm = time.monotonic(), time.time()
        if not callers.finish(size.settles):
            faults.append(f"the callers could not send everything: {callers.sent} of {len(cargo.shipments)} messages")
        faults += settle(plant, cargo, rest + size.settles)
        settled = time.monotonic() - rest
        # No tick comes any more; then nothing is under way, and every part may go.
        faults += [f"{name} does not stop" for name in plant.stop("beat", "beat2")]
        faults += _wait(lambda: _at_work(plant), time.monotonic() + QUIET)
        faults += [f"{name} does not stop" for name in plant.stop(*(name for name in plant.children if name != SERVER))]
        faults += leftovers(plant.redis)
        lost = losses(plant.redis, [job.id for job in cargo.jobs])
    notes = notebooks.read(folder / "notes")
    logbook = read_logs(folder / "logs", calm)
    judgement = judge(cargo, notes, logbook.given_up, lost)
    hands.done[Harm.AIM] = plant.aimed.total()
    faults += (
        judgement.faults
        + strange_ends(plant.by_itself)
        + [f"logged {count} times: {words}" for words, count in logbook.faults.items()]
    )
    return Outcome(
        *(seed, size, cargo, hands.done, plant.aimed, plant.by_itself, judgement, logbook, faults),
        *(judgement.losses, notes.read_again, callers.sent_again, time.monotonic() - began, settled),
    )


def settle(plant: Plant, cargo: Cargo, until: float) -> list[str]:
    """Wait until all is done; what is not."""
    return _wait(lambda: _open(plant, cargo), until)


def _wait(look, until: float) -> list[str]:
    while True:
        left = ["the server does not answer"]
        with suppress(RedisError):
            left = look()
        if not left or time.monotonic() > until:
            return left
        time.sleep(LOOKS_EVERY)


def _open(plant: Plant, cargo: Cargo) -> list[str]:
    """What is still to be done, or will never be."""
    left = []
    for what, store, sent in (
        ("jobs", JobStore(plant.redis, job_limits()), len(cargo.jobs)),
        ("crawls", CrawlStore(plant.redis, crawl_limits()), len(cargo.crawls)),
    ):
        books = balance(store.books())
        left += [f"{what}: {fault}" for fault in books.faults]
        left += [f"{what}: {books.open} are still open: {books.states}"] if books.open else []
        left += [f"{what}: {books.submitted} recorded of {sent}"] if books.submitted != sent else []
    left += [f"{plant.redis.llen(INTAKE)} messages wait"] if plant.redis.llen(INTAKE) else []
    for queue in QUEUES:
        entries = plant.redis.xlen(f"longhaul:results:{queue}")
        left += [f"{entries} envelopes in {queue} are not taken"] if entries else []
    return left


def _at_work(plant: Plant) -> list[str]:
    left = [f"{key}: {plant.redis.hlen(key)}" for key in ("unacked",) if plant.redis.hlen(key)]
    for pattern in (
        "longhaul:{jobs}:*ing:*",
        "longhaul:{jobs}:started:*",
        "longhaul:{crawls}:*ing:*",
        "longhaul:{crawls}:started:*",
    ):
        left += list(plant.redis.scan_iter(pattern, count=1000))
    return left
