"""Page events of 50 KB that the receiver takes, against an endpoint that only reads them: same server, same remote, in turns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from uuid import uuid4

import psutil

from benchmarks.figure import Figure
from benchmarks.pusher import BODY, CONNECTIONS
from benchmarks.rig import ROOT, Rig, cpu, free_port
from config.settings import Settings
from crawls.intake import Order
from jobs.callback import Callbacks
from ledger.results import stream
from scraperapi.crawl_models import CrawlRequest
from tasks.runtime import build

SECRET = "a secret of the benchmarks"  # noqa: S105  (of a server that lives for a minute)
WARM_UP = 300
READ_AT_ONCE = 100


def measure(rig: Rig, *, events: int, runs: int) -> Iterator[Figure]:
    bare: list[float] = []
    ours: list[float] = []
    used: list[float] = []
    with ExitStack() as stack:
        plain, _ = stack.enter_context(receiving(rig, "benchmarks.bare_endpoint:api"))
        receiver, process = stack.enter_context(receiving(rig, "workers.webhook:api"))
        for _ in range(runs):
            bare.append(taken(rig, plain, events)[0])
            before = cpu([process])
            rate, callback_events = taken(rig, receiver, events)
            ours.append(rate)
            used.append((cpu([process]) - before) / callback_events)
            check(rig, callback_events)
            print(f"measured {bare[-1]:.0f} events/s bare, {ours[-1]:.0f} ours", file=sys.stderr)
    note = f"{events:,} events, pages of {BODY // 1024} KB, {CONNECTIONS} connections, median of {runs}"
    yield Figure("bare endpoint", median(bare), "events/s", note=note)
    yield Figure("receiver", median(ours), "events/s", note=f"{note}; {median(used) * 1e6:.0f} µs of its CPU an event")
    yield Figure("ratio to the bare endpoint", median(ours) / median(bare), "x", at_least=0.5, note="every event in the results queue, once")


def taken(rig: Rig, receiver: str, events: int) -> tuple[float, int]:
    """Events a second that this receiver took of a new crawl, on an emptied server, and how many it were with those before."""
    rig.redis.flushall()
    crawl_id = str(uuid4())
    runtime = build(Settings(redis_url=rig.redis_url, public_url=receiver, webhook_secret=SECRET, api_key="k"))  # type: ignore[arg-type]
    try:
        runtime.crawls.order(crawl_id, Order(CrawlRequest("http://site.invalid/"), callback=receiver))
    finally:
        runtime.close()
    callback = Callbacks(SECRET).url(receiver, "crawl", crawl_id)
    push(callback, 0, WARM_UP)
    return push(callback, WARM_UP, events), WARM_UP + events


def push(callback: str, first: int, count: int) -> float:
    """Events a second, from a process of its own."""
    line = [sys.executable, "-m", "benchmarks.pusher", callback, "remote-1", str(first), str(count)]
    return float(subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def check(rig: Rig, events: int) -> None:
    """Each event must have become one page envelope, with its page in it, and there must be nothing else."""
    urls, last, name = set(), "-", stream("results")
    while entries := rig.redis.xrange(name, min=last, count=READ_AT_ONCE):
        for _, fields in entries:
            envelope = json.loads(fields["envelope"])
            if envelope["kind"] != "page" or len(envelope["body"].encode()) < BODY - 4:
                raise AssertionError(f"no page of {BODY} bytes: {fields['envelope'][:300]}")
            urls.add(envelope["url"])
        last = f"({entries[-1][0]}"
    if (len(urls), rig.redis.xlen(name)) != (events, events):
        raise AssertionError(f"{events} events became {rig.redis.xlen(name)} envelopes of {len(urls)} pages")


@contextmanager
def receiving(rig: Rig, api: str) -> Iterator[tuple[str, psutil.Process]]:
    """The address of this application and its process, as the compose file starts the receiver."""
    port = free_port()
    environment = {"LONGHAUL_REDIS_URL": rig.redis_url, "LONGHAUL_WEBHOOK_SECRET": SECRET, "LONGHAUL_LOG_LEVEL": "WARNING"}
    line = ["uvicorn", api, "--port", str(port), "--log-level", "warning"]
    with rig.server(api.partition(":")[0], line, port, environment) as process:
        yield f"http://127.0.0.1:{port}", process
