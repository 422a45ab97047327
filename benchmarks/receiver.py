"""Page events of 50 KB through the receiver, against an endpoint that only reads them: same server, same remote, taking
turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

import psutil

from benchmarks.figure import Figure
from benchmarks.pusher import BODY_BYTES, CONNECTIONS
from benchmarks.rig import ROOT, Rig, cpu, free_port
from config.settings import Settings
from longhaul.crawls.arguments import NewCrawl
from longhaul.ledger.results import stream
from longhaul.scraperapi.crawl_models import CrawlRequest
from longhaul.work.callbacks import Callbacks
from tasks.plumbing.runtime import build

SECRET = "a secret of the benchmarks"  # noqa: S105  (of a server that runs for a minute)
WARM_UP = 300
READ_COUNT = 100


@dataclass(frozen=True, slots=True)
class Received:
    """Events per second, and CPU seconds of the receiving process for each event."""

    rate: float
    cpu: float


def measure(rig: Rig, *, events: int, runs: int) -> Iterator[Figure]:
    bare: list[Received] = []
    ours: list[Received] = []
    with ExitStack() as stack:
        plain = stack.enter_context(receiving(rig, "benchmarks.bare_endpoint:api"))
        receiver = stack.enter_context(receiving(rig, "workers.receiver.app:api"))
        for _ in range(runs):
            bare.append(receive(rig, *plain, events))
            ours.append(receive(rig, *receiver, events))
            check(rig, WARM_UP + events)
            print(f"measured {bare[-1].rate:.0f} events/s bare, {ours[-1].rate:.0f} ours", file=sys.stderr)
    note = f"{events:,} events, pages of {BODY_BYTES // 1024} KB, {CONNECTIONS} connections, median of {runs}"
    for name, runs_of in (("bare endpoint", bare), ("receiver", ours)):
        spent = median(one.cpu for one in runs_of) * 1e6
        yield Figure(
            name, median(one.rate for one in runs_of), "events/s", note=f"{note}; {spent:.0f} µs of its CPU an event"
        )
    # The ratio of each pair: other load on the machine affects both.
    ratio = median(mine.rate / other.rate for mine, other in zip(ours, bare, strict=True))
    yield Figure(
        "ratio to the bare endpoint",
        ratio,
        "x",
        at_least=0.5,
        note="median of the pairs; every event in the results queue, once",
    )


def receive(rig: Rig, receiver: str, process: psutil.Process, events: int) -> Received:
    """Push `events` of a new crawl to a receiver, after a warm-up, on an emptied server."""
    rig.redis.flushall()
    crawl_id = str(uuid4())
    settings = {"redis_url": rig.redis_url, "public_url": receiver, "webhook_secret": SECRET, "api_key": "k"}
    runtime = build(Settings(**settings))  # type: ignore[arg-type]
    try:
        runtime.crawls.order(crawl_id, NewCrawl(CrawlRequest("http://site.invalid/"), callback=receiver))
    finally:
        runtime.close()
    callback = Callbacks(SECRET).url(receiver, "crawl", crawl_id)
    push(callback, 0, WARM_UP)
    before = cpu([process])
    rate = push(callback, WARM_UP, events)
    return Received(rate, (cpu([process]) - before) / events)


def push(callback: str, first: int, count: int) -> float:
    """Push from a process of its own; events per second."""
    line = [sys.executable, "-m", "benchmarks.pusher", callback, "remote-1", str(first), str(count)]
    return float(subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def check(rig: Rig, events: int) -> None:
    """Check that each event became one page envelope with its page, and that there is nothing else."""
    urls, last, name = set(), "-", stream("results")
    while entries := rig.redis.xrange(name, min=last, count=READ_COUNT):
        for _, fields in entries:
            envelope = json.loads(fields["envelope"])
            if envelope["kind"] != "page" or len(envelope["body"].encode()) < BODY_BYTES - 4:
                raise AssertionError(f"no page of {BODY_BYTES} bytes: {fields['envelope'][:300]}")
            urls.add(envelope["url"])
        last = f"({entries[-1][0]}"
    if (len(urls), rig.redis.xlen(name)) != (events, events):
        raise AssertionError(f"{events} events became {rig.redis.xlen(name)} envelopes of {len(urls)} pages")


@contextmanager
def receiving(rig: Rig, api: str) -> Iterator[tuple[str, psutil.Process]]:
    """Start an application as the compose file starts the receiver; its address and its process."""
    port = free_port()
    environment = {
        "LONGHAUL_REDIS_URL": rig.redis_url,
        "LONGHAUL_WEBHOOK_SECRET": SECRET,
        "LONGHAUL_LOG_LEVEL": "WARNING",
    }
    line = ["uvicorn", api, "--port", str(port), "--log-level", "warning"]
    with rig.server(api.partition(":")[0], line, port, environment) as process:
        yield f"http://127.0.0.1:{port}", process
