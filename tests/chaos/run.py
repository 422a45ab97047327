"""One run: start the load, inject faults, wait until everything has ended, check."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from config.celery_settings import INTAKE
from longhaul.crawls.store import CrawlStore
from longhaul.jobs.store import JobStore
from longhaul.work.balance import balance
from tests.builders import crawl_limits, job_limits
from tests.chaos.checker import CheckResult, check
from tests.chaos.clients import Clients
from tests.chaos.cluster import SERVER, Cluster, running
from tests.chaos.faults import FATAL, Fault, Injection, schedule
from tests.chaos.journals import read_journals
from tests.chaos.log_check import LogReport, check_logs
from tests.chaos.nemesis import Nemesis
from tests.chaos.unexpected_exits import unexpected_exits
from tests.chaos.unexpected_keys import remote_losses, unexpected_keys
from tests.chaos.workload import QUEUES, Workload, draw_workload

POLL_SECONDS = 0.5
MIN_SETTLE_SECONDS = 240.0
IDLE_WITHIN_SECONDS = 75.0
"""How long a message that a dead worker held may wait: until it is visible again, and the sweep lock of another dead
worker expires.
"""
MIN_DEADLINE_SECONDS = 600.0
"""A job may be refused several times, each pause longer than the last, and still end within this."""


@dataclass(frozen=True, slots=True)
class RunSize:
    """How large a run is. Faults are injected for `fault_seconds`; everything must have ended `settle_seconds` later.

    `gap_seconds`: between faults of one group. `roll_seconds`: between rolling restarts. `full`: includes jobs that end
    only at the deadline, and crawls that wait for missing pages.
    """

    jobs: int
    crawls: int
    kills: int
    fault_seconds: float
    settle_seconds: float
    gap_seconds: float
    roll_seconds: int
    full: bool
    settings: dict[str, str] = field(default_factory=dict)


def short_run() -> RunSize:
    """The run that is part of `make test`."""
    return RunSize(
        jobs=400,
        crawls=9,
        kills=25,
        fault_seconds=45.0,
        settle_seconds=100.0,
        gap_seconds=3.0,
        roll_seconds=23,
        full=False,
        settings={"LONGHAUL_DEADLINE": "300", "LONGHAUL_CRAWL_GRACE": "10"},
    )


def full_run(jobs: int, minutes: float, kills: int) -> RunSize:
    """A run of about `minutes`: faults in three quarters of the time, then the time to settle."""
    fault_seconds = minutes * 60 * 0.75
    deadline = max(fault_seconds, MIN_DEADLINE_SECONDS)
    return RunSize(
        jobs=jobs,
        crawls=max(12, jobs // 300),
        kills=kills,
        fault_seconds=fault_seconds,
        settle_seconds=max(fault_seconds / 3, MIN_SETTLE_SECONDS),
        gap_seconds=24.0,
        roll_seconds=200,
        full=fault_seconds >= MIN_DEADLINE_SECONDS,
        settings={"LONGHAUL_DEADLINE": f"{deadline:.0f}", "LONGHAUL_CRAWL_GRACE": "70"},
    )


@dataclass
class RunResult:
    """What one run has shown. `violations`: everything that is wrong, one sentence each."""

    seed: int
    size: RunSize
    workload: Workload
    injected: Counter[Fault]
    crashes: Counter[str]
    exits: Counter[str]
    check: CheckResult
    log: LogReport
    violations: list[str]
    reread: int
    resent: int
    seconds: float
    settled_after: float

    @property
    def kills(self) -> int:
        """Processes that were ended by a fault."""
        return sum(count for fault, count in self.injected.items() if fault in FATAL)


def schedule_of(seed: int, size: RunSize, only: Sequence[Fault] = ()) -> list[Injection]:
    """The schedule of a seed; only the faults in `only`, where there are any."""
    draw = random.Random(f"faults {seed}")  # noqa: S311  (repeatable)
    injections = schedule(
        draw, size.fault_seconds, size.kills, gap_seconds=size.gap_seconds, roll_seconds=size.roll_seconds
    )
    return [injection for injection in injections if not only or injection.fault in only]


def run(seed: int, size: RunSize, folder: Path, only: Sequence[Fault] = ()) -> RunResult:
    """Run with all files in `folder`, which must not exist."""
    began = time.monotonic()
    draw = random.Random(f"workload {seed}")  # noqa: S311  (repeatable)
    workload = draw_workload(draw, size.jobs, size.crawls, full=size.full)
    violations: list[str] = []
    with running(folder, size.settings) as cluster:
        clients = Clients(cluster.local.redis_url, cluster.redis, workload, size.fault_seconds * 0.95)
        nemesis = Nemesis(cluster)
        clients.start()
        injecting = threading.Thread(target=nemesis.inject, args=(schedule_of(seed, size, only),))
        injecting.start()
        injecting.join()
        faults_ended, faults_ended_at = time.monotonic(), time.time()
        if not clients.finish(size.settle_seconds):
            violations.append(f"the clients sent only {clients.sent} of {len(workload.messages)} messages")
        violations += settle(cluster, workload, faults_ended + size.settle_seconds)
        settled_after = time.monotonic() - faults_ended
        # Without beat there are no more ticks: once nothing is under way, every other part can be stopped.
        violations += [f"{name} does not stop" for name in cluster.stop("beat", "beat2")]
        violations += _wait_for_none(lambda: _under_way(cluster), time.monotonic() + IDLE_WITHIN_SECONDS)
        others = [name for name in cluster.children if name != SERVER]
        violations += [f"{name} does not stop" for name in cluster.stop(*others)]
        violations += unexpected_keys(cluster.redis)
        losses = remote_losses(cluster.redis, [job.id for job in workload.jobs])
    journals = read_journals(folder / "journals")
    log = check_logs(folder / "logs", faults_ended_at)
    checked = check(workload, journals, log.given_up, losses)
    nemesis.injected[Fault.CRASH_POINT] = cluster.crashes.total()
    violations += checked.violations
    violations += unexpected_exits(cluster.exits)
    violations += [f"logged {count} times: {words}" for words, count in log.violations.items()]
    return RunResult(
        *(seed, size, workload, nemesis.injected, cluster.crashes, cluster.exits, checked, log, violations),
        *(journals.reread, clients.resent, time.monotonic() - began, settled_after),
    )


def settle(cluster: Cluster, workload: Workload, until: float) -> list[str]:
    """Wait until everything has ended and is consumed; what is not by then."""
    return _wait_for_none(lambda: _unfinished(cluster, workload), until)


def _wait_for_none(find: Callable[[], list[str]], until: float) -> list[str]:
    """Call `find` until it finds nothing or the time is over; what it found last."""
    while True:
        found = ["the server does not answer"]
        with suppress(RedisError):
            found = find()
        if not found or time.monotonic() > until:
            return found
        time.sleep(POLL_SECONDS)


def _unfinished(cluster: Cluster, workload: Workload) -> list[str]:
    """What has not ended, or can't any more."""
    found = []
    for what, store, sent in (
        ("jobs", JobStore(cluster.redis, job_limits()), len(workload.jobs)),
        ("crawls", CrawlStore(cluster.redis, crawl_limits()), len(workload.crawls)),
    ):
        books = balance(store.books())
        found += [f"{what}: {fault}" for fault in books.faults]
        found += [f"{what}: {books.open} are still open: {books.states}"] if books.open else []
        found += [f"{what}: {books.submitted} recorded of {sent}"] if books.submitted != sent else []
    found += [f"{cluster.redis.llen(INTAKE)} messages wait"] if cluster.redis.llen(INTAKE) else []
    for queue in QUEUES:
        entries = cluster.redis.xlen(f"longhaul:results:{queue}")
        found += [f"{entries} envelopes in {queue} are not consumed"] if entries else []
    return found


def _under_way(cluster: Cluster) -> list[str]:
    """Keys that say that a worker is busy."""
    found = [f"{key}: {cluster.redis.hlen(key)}" for key in ("unacked",) if cluster.redis.hlen(key)]
    for family in ("jobs", "crawls"):
        for name in ("*ing", "started"):
            found += list(cluster.redis.scan_iter(f"longhaul:{{{family}}}:{name}:*", count=1000))
    return found
