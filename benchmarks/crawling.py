"""Crawls of a local static site by our service, which pushes every page and the summary to a receiver, against Scrapy;
and the memory that a crawl takes.

Both crawl the same site with the same depth limit, which excludes no page, and the same number of concurrent requests,
and take turns. Our time: a web process and two workers, from before `POST /job` until the receiver has the summary.
Scrapy's time: from its first request to its last item.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any
from urllib.parse import urldefrag

import psutil
import requests

from benchmarks.figure import Figure
from benchmarks.rig import ROOT, WORKERS, Rig, cpu, free_port
from service.crawls.store import SPACE

CONCURRENCY = 8
"""Concurrent requests to the site: the default of LONGHAUL_SERVICE_PER_HOST and of CONCURRENT_REQUESTS_PER_DOMAIN."""
DEPTH = 100
BASELINE = 1_000
MEASURE_SECONDS = 0.25
"""Between two measurements of a crawl's memory; each takes the server a few milliseconds."""
KEPT = (
    "record",
    "order",
    "waiting",
    "next",
    "retry",
    "claimed",
    "tries",
    "seen",
    "redirected",
    "completed",
    "failed",
    "outbox",
    "delivery_tries",
)
"""The keys of a crawl, without `events`, which has the bodies of pages that are not delivered yet."""
SCRAPY, FEED, OURS = (
    "Scrapy, items nowhere",
    "Scrapy, items with bodies to JSON lines",
    "our crawler, webhooks delivered",
)


@dataclass(frozen=True, slots=True)
class CrawlTime:
    """A crawl: `seconds` it took, `cpu` seconds of the crawler's own processes, and the URLs of its pages."""

    seconds: float
    cpu: float
    urls: frozenset[str]


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. `processes`: the web process, then the workers."""

    base: str
    processes: list[psutil.Process]

    def crawl(self, site: str, receiver: str) -> str:
        """Start a crawl of the site; its id."""
        order = {"api_key": "k", "start_url": site, "max_depth": DEPTH, "url_regexp_include": ".*"}
        order["callback"] = {"type": "webhook", "url": receiver}
        answer = requests.post(f"{self.base}/job", json=order, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["jobId"])


def measure(rig: Rig, *, pages: int, runs: int, kept: int) -> Iterator[Figure]:
    """`pages`: of the site that each crawls `runs` times. `kept`: pages of the crawl whose memory is measured."""
    yield from speed(rig, pages, runs)
    yield from memory(rig, kept)


def speed(rig: Rig, pages: int, runs: int) -> Iterator[Figure]:
    """Pages per second, side by side."""
    with static_site(rig, pages) as site:
        ways: dict[str, Callable[[], CrawlTime]] = {
            SCRAPY: lambda: scrapy(site),
            FEED: lambda: scrapy(site, str(rig.folder / "items.jsonl")),
            OURS: lambda: ours(rig, site),
        }
        taken: dict[str, list[CrawlTime]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, crawl in ways.items():
                taken[name].append(crawl())
                print(f"measured {name}: {pages / taken[name][-1].seconds:.0f} pages/s", file=sys.stderr)
    urls = {one.urls for crawls in taken.values() for one in crawls}
    if {len(one) for one in urls} != {pages} or len(urls) > 1:
        counts = {name: [len(one.urls) for one in crawls] for name, crawls in taken.items()}
        raise AssertionError(f"not the same {pages} pages: {counts}")
    rates = {name: pages / median(one.seconds for one in crawls) for name, crawls in taken.items()}
    for name, crawls in taken.items():
        spent = median(one.cpu for one in crawls) / pages * 1e3
        note = f"{pages:,} pages, the same URLs, median of {runs}; {spent:.1f} ms of CPU a page"
        yield Figure(name, rates[name], "pages/s", note=note)
    yield Figure("ratio to Scrapy, items nowhere", rates[OURS] / rates[SCRAPY], "x", at_least=1)
    yield Figure(
        "ratio to Scrapy, items to JSON lines",
        rates[OURS] / rates[FEED],
        "x",
        note="an item has what an event has",
    )


def memory(rig: Rig, pages: int) -> Iterator[Figure]:
    """Redis memory for each URL that a crawl has seen, and the memory of its workers."""
    rig.redis.flushall()
    with static_site(rig, pages) as site, service(rig) as parts, listener(rig) as receiver:
        empty = rig.redis.info("memory")["used_memory"]
        crawl_id = parts.crawl(site, receiver)
        # Each with the number of URLs that had been seen at the moment.
        own, whole = (0, 1), (0, 1)
        few, many = 0, 0

        def over() -> bool:
            nonlocal own, whole, few, many
            pipe = rig.redis.pipeline()
            # `seen` is deleted when the crawl ends, before the summary is delivered.
            pipe.scard(f"{SPACE}:seen:{crawl_id}")
            pipe.llen(f"{SPACE}:completed:{crawl_id}")
            pipe.info("memory")
            for name in KEPT:
                pipe.memory_usage(f"{SPACE}:{name}:{crawl_id}", samples=0)
            seen, done, info, *sizes = pipe.execute()
            if seen:
                own = max(own, (sum(size or 0 for size in sizes), seen))
                whole = max(whole, (info["used_memory"] - empty, seen))
            resident = max(worker.memory_info().rss for worker in parts.processes[1:])
            few = max(few, resident) if done <= BASELINE else few
            many = max(many, resident)
            return received(receiver)["ended"] is not None

        rig.wait(over, MEASURE_SECONDS)
        length = fmean(len(url) for url in received(receiver)["urls"])
    note = f"the largest over {pages:,} pages, all keys of the crawl, without the URL itself ({length:.0f} B)"
    yield Figure("Redis for each seen URL", own[0] / own[1] - length, "B", at_most=300, note=note)
    note = "the same, with its buffers and the bodies that wait for delivery"
    yield Figure("growth of the whole server", whole[0] / whole[1] - length, "B", note=note)
    yield Figure(
        f"worker RSS up to {BASELINE:,} pages",
        few / 2**20,
        "MB",
        note="the largest seen, the larger of the two workers",
    )
    yield Figure(f"worker RSS up to {pages:,} pages", many / 2**20, "MB", note="the same")
    yield Figure("growth", (many - few) / 2**20, "MB", at_most=20)


def ours(rig: Rig, site: str) -> CrawlTime:
    """A crawl by our service, on an emptied server."""
    rig.redis.flushall()
    with service(rig) as parts, listener(rig) as receiver:
        before, began = cpu(parts.processes), time.time()
        parts.crawl(site, receiver)
        rig.wait(lambda: received(receiver)["ended"] is not None)
        events = received(receiver)
        return CrawlTime(events["ended"] - began, cpu(parts.processes) - before, frozenset(events["urls"]))


def scrapy(site: str, feed: str = "") -> CrawlTime:
    """A crawl by Scrapy. `feed`: a file for its items; empty: they are dropped."""
    line = [sys.executable, "-m", "benchmarks.spider", site, str(DEPTH), str(CONCURRENCY), feed]
    answer = json.loads(subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    # Scrapy keeps the fragments of URLs, but requests each page once.
    return CrawlTime(answer["seconds"], answer["cpu"], frozenset(urldefrag(url).url for url in answer["urls"]))


@contextmanager
def static_site(rig: Rig, pages: int) -> Iterator[str]:
    """Start a static site of `pages` pages; its address."""
    port = free_port()
    with rig.server("site", ["benchmarks.static_site", str(port), str(pages)], port):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def listener(rig: Rig) -> Iterator[str]:
    """Start a minimal receiver; its address."""
    port = free_port()
    with rig.server("listener", ["benchmarks.listener", str(port)], port):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def service(rig: Rig) -> Iterator[Service]:
    """The self-hosted service as the compose file starts it, with two workers."""
    port = free_port()
    given = {
        "redis_url": rig.redis_url,
        "service_private_targets": "1",
        "service_per_host": str(CONCURRENCY),
        "log_level": "WARNING",
    }
    environment = {f"LONGHAUL_{name.upper()}": value for name, value in given.items()}
    web = ["uvicorn", "--factory", "service.app:api", "--port", str(port), "--log-level", "warning"]
    worker = [
        "-A",
        "service.tasks",
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        "8",
        "--without-gossip",
        "--without-mingle",
    ]
    with ExitStack() as stack:
        processes = stack.enter_context(
            rig.workers([[*worker, "-n", f"fetcher-{at}@%h"] for at in range(WORKERS)], environment)
        )
        processes.insert(0, stack.enter_context(rig.server("web", web, port, environment)))
        yield Service(f"http://127.0.0.1:{port}", processes)


def received(receiver: str) -> dict[str, Any]:
    """What the receiver has received so far; the URLs only once it has the summary."""
    answer: dict[str, Any] = requests.get(receiver, timeout=30).json()
    return answer
