"""A crawl of a local static site by our service, every page and the summary pushed to a receiver, against Scrapy; and
what a crawl keeps.

Both get the same site, the same bound on depth (which cuts nothing off) and the same number of requests at once, and
take turns. Ours: a web process and two workers, from before POST /job until the receiver has the summary. Scrapy's:
from its first request to its last item.
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

AT_ONCE = 8
"""Requests to the site at once: LONGHAUL_SERVICE_PER_HOST and CONCURRENT_REQUESTS_PER_DOMAIN. It is the default of
both.
"""
DEPTH = 100
FEW = 1_000
LOOK = 0.25
"""Seconds between two looks at a crawl's memory: each takes the server a few milliseconds."""
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
"""The keys of a crawl, but for `events`: what they hold is the pages' bodies until they are told."""
SCRAPY, FEED, OURS = (
    "Scrapy, items nowhere",
    "Scrapy, items with bodies to JSON lines",
    "our crawler, webhooks delivered",
)


@dataclass(frozen=True, slots=True)
class Crawled:
    """One crawl: `seconds` it took, seconds of `cpu` in the crawler's own processes, and the pages that came."""

    seconds: float
    cpu: float
    urls: frozenset[str]


@dataclass(frozen=True, slots=True)
class Service:
    """A running service; the web process comes first."""

    base: str
    processes: list[psutil.Process]

    def crawl(self, site: str, receiver: str) -> str:
        """Have the site crawled; the crawl's id."""
        order = {"api_key": "k", "start_url": site, "max_depth": DEPTH, "url_regexp_include": ".*"}
        order["callback"] = {"type": "webhook", "url": receiver}
        answer = requests.post(f"{self.base}/job", json=order, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["jobId"])


def measure(rig: Rig, *, pages: int, runs: int, kept: int) -> Iterator[Figure]:
    """`pages` of the site that is crawled `runs` times by each; `kept` of the one whose crawl's memory is looked at."""
    yield from speed(rig, pages, runs)
    yield from keeping(rig, kept)


def speed(rig: Rig, pages: int, runs: int) -> Iterator[Figure]:
    """Pages a second, side by side."""
    with static_site(rig, pages) as site:
        ways: dict[str, Callable[[], Crawled]] = {
            SCRAPY: lambda: scrapy(site),
            FEED: lambda: scrapy(site, str(rig.folder / "items.jsonl")),
            OURS: lambda: ours(rig, site),
        }
        taken: dict[str, list[Crawled]] = {name: [] for name in ways}
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
        note="what is in an item is what is in an event",
    )


def keeping(rig: Rig, pages: int) -> Iterator[Figure]:
    """What a crawl takes of Redis for each URL that it has seen, and of its workers' memory."""
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
            # `seen` is given up where the crawl ends: what stays until the summary is told is less.
            pipe.scard(f"{SPACE}:seen:{crawl_id}")
            pipe.llen(f"{SPACE}:completed:{crawl_id}")
            pipe.info("memory")
            for name in KEPT:
                pipe.memory_usage(f"{SPACE}:{name}:{crawl_id}", samples=0)
            seen, done, memory, *sizes = pipe.execute()
            if seen:
                own = max(own, (sum(size or 0 for size in sizes), seen))
                whole = max(whole, (memory["used_memory"] - empty, seen))
            resident = max(worker.memory_info().rss for worker in parts.processes[1:])
            few = max(few, resident) if done <= FEW else few
            many = max(many, resident)
            return told(receiver)["ended"] is not None

        rig.wait(over, LOOK)
        length = fmean(len(url) for url in told(receiver)["urls"])
    note = f"at the fullest moment of {pages:,} pages, every key of the crawl; the URL itself, {length:.0f} B, is not in it"
    yield Figure("Redis for each seen URL", own[0] / own[1] - length, "B", at_most=300, note=note)
    note = "likewise; with its buffers, and the bodies that wait to be told"
    yield Figure("growth of the whole server", whole[0] / whole[1] - length, "B", note=note)
    yield Figure(
        f"worker RSS up to {FEW:,} pages", few / 2**20, "MB", note="the most seen, the larger of the two workers"
    )
    yield Figure(f"worker RSS up to {pages:,} pages", many / 2**20, "MB", note="likewise")
    yield Figure("growth", (many - few) / 2**20, "MB", at_most=20)


def ours(rig: Rig, site: str) -> Crawled:
    """One crawl by our service, on an emptied server."""
    rig.redis.flushall()
    with service(rig) as parts, listener(rig) as receiver:
        before, began = cpu(parts.processes), time.time()
        parts.crawl(site, receiver)
        rig.wait(lambda: told(receiver)["ended"] is not None)
        events = told(receiver)
        return Crawled(events["ended"] - began, cpu(parts.processes) - before, frozenset(events["urls"]))


def scrapy(site: str, feed: str = "") -> Crawled:
    """One crawl by Scrapy; its items go to the file `feed`, or nowhere."""
    line = [sys.executable, "-m", "benchmarks.spider", site, str(DEPTH), str(AT_ONCE), feed]
    answer = json.loads(subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    # It keeps the fragments of links, and asks for a page once all the same.
    return Crawled(answer["seconds"], answer["cpu"], frozenset(urldefrag(url).url for url in answer["urls"]))


@contextmanager
def static_site(rig: Rig, pages: int) -> Iterator[str]:
    """The address of a site of so many pages."""
    port = free_port()
    with rig.server("site", ["benchmarks.static_site", str(port), str(pages)], port):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def listener(rig: Rig) -> Iterator[str]:
    """The address of a bare receiver."""
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
        "service_per_host": str(AT_ONCE),
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


def told(receiver: str) -> dict[str, Any]:
    """What the receiver has heard so far; the URLs only once it has the summary."""
    answer: dict[str, Any] = requests.get(receiver, timeout=30).json()
    return answer
