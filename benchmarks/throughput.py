"""Jobs per second from the client's message to the result, against plain Celery: same broker, same remote, same number
of worker processes, same run.

The time runs from before the first message is sent to the last result, so it includes the sending, for both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from uuid import uuid4

from benchmarks.figure import Figure
from benchmarks.plain_celery import RESULTS
from benchmarks.rig import Rig, finished, last_envelope

PLAIN_POOLS = ("prefork", "threads")
WARM_UP = 500
BATCH_JOBS = 5_000


def measure(rig: Rig, *, jobs: int, single: int) -> Iterator[Figure]:
    plain = {pool: plain_celery(rig, pool, single) for pool in PLAIN_POOLS}
    pool, baseline = max(plain.items(), key=lambda item: item[1])
    for name, rate in plain.items():
        yield Figure(f"plain Celery, {name}", rate, "jobs/s", note=f"{single:,} jobs")
    batch = longhaul(rig, batches(jobs), jobs, poll_first="0.05")
    yield Figure(
        "jobs.submit_batch", batch, "jobs/s", note=f"{jobs:,} jobs, {BATCH_JOBS:,} a message, LONGHAUL_POLL_FIRST=0.05"
    )
    yield Figure("ratio to plain Celery", batch / baseline, "x", at_least=8, note=f"the better of the two: {pool}")
    default = longhaul(rig, batches(jobs), jobs)
    yield Figure("jobs.submit_batch, default pauses", default, "jobs/s", note="the first poll is after 2 s")
    yield Figure("ratio to plain Celery", default / baseline, "x", note="the same, with default pauses")
    one = longhaul(rig, singles(single), single, poll_first="0.05")
    yield Figure("jobs.submit", one, "jobs/s", note=f"{single:,} messages, LONGHAUL_POLL_FIRST=0.05")
    yield Figure("ratio to plain Celery", one / baseline, "x", at_least=2, note=f"the better of the two: {pool}")


def plain_celery(rig: Rig, pool: str, jobs: int) -> float:
    """Jobs per second."""
    _say(f"plain Celery, {pool}")
    rig.redis.flushall()
    with rig.plain(pool):
        _send_plain(rig, WARM_UP)
        rig.wait(lambda: rig.redis.llen(RESULTS) == WARM_UP)
        start = rig.now()
        _send_plain(rig, jobs)
        rig.wait(lambda: rig.redis.llen(RESULTS) == WARM_UP + jobs)
        return jobs / (rig.now() - start)


def longhaul(rig: Rig, messages: list[tuple[str, dict[str, object]]], jobs: int, **settings: str) -> float:
    """Jobs per second, from the first of `messages` to the last envelope."""
    _say(f"Longhaul, {messages[0][0]} {settings or ''}")
    with rig.runtime() as runtime, rig.longhaul(**settings):
        _send(rig, batches(WARM_UP))
        rig.tick_until(lambda: finished(runtime) == WARM_UP)
        start = rig.now()
        _send(rig, messages)
        rig.tick_until(lambda: finished(runtime) == WARM_UP + jobs)
        return jobs / (last_envelope(rig.redis) - start)


def batches(jobs: int) -> list[tuple[str, dict[str, object]]]:
    urls = [_url(at) for at in range(jobs)]
    return [("jobs.submit_batch", {"requests": urls[at : at + BATCH_JOBS]}) for at in range(0, jobs, BATCH_JOBS)]


def singles(jobs: int) -> list[tuple[str, dict[str, object]]]:
    return [("jobs.submit", {"url": _url(at)}) for at in range(jobs)]


def _url(at: int) -> str:
    return f"http://target.invalid/{at}"


def _send(rig: Rig, messages: list[tuple[str, dict[str, object]]]) -> None:
    for name, arguments in messages:
        rig.client.send_task(name, kwargs=arguments, task_id=str(uuid4()))


def _send_plain(rig: Rig, jobs: int) -> None:
    for at in range(jobs):
        rig.client.send_task("plain.submit", kwargs={"url": _url(at)})


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr)
