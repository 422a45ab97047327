"""On SIGTERM a worker finishes what it has claimed and claims nothing new; on a second SIGTERM it ends at once and
loses nothing.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.store import CrawlStore
from longhaul.jobs.store import JobStore
from longhaul.scraperapi.crawl_models import CrawlRequest
from longhaul.work.balance import balance
from tests.builders import a_submission, crawl_limits, envelopes, job_limits
from tests.flow.scraper import Scraper
from tests.installation import FAST, ROOT, clean_environ, until
from tests.service_process import Service, eventually
from tests.wire import Ask, Reply, wire

JOBS = 60
LEASE = 10.0
SOON_SECONDS = 5.0
"""Two seconds of grace, and the end of the interpreter on a busy machine."""
# The timeouts of calls are longer than the tests let the remote hold them.
SLOW = {**FAST, "LONGHAUL_HTTP_TIMEOUT": "8", "LONGHAUL_BATCH_TIMEOUT": "9", "LONGHAUL_LEASE": f"{LEASE:g}"}


@dataclass
class Holding:
    """A remote that hands out each result once. Answers to polls for which `held(path)` is true wait for `gate`.
    `deaf`: it has not handed out what it holds, so a client that gives up loses nothing.
    """

    scraper: Scraper
    gate: threading.Event
    held: Callable[[str], bool] = lambda _: False
    asked: list[str] = field(default_factory=list)
    deaf: bool = False

    def __call__(self, ask: Ask) -> Reply:
        self.asked.append(ask.path)
        if ask.method == "DELETE" or ask.path == "/jobs" or not self.held(ask.path):
            return self.scraper(ask)
        if self.deaf:
            self.gate.wait(30)
            return Reply(hang_up=True)
        return replace(self.scraper(ask), after=self.gate)


@dataclass
class Worker:
    process: subprocess.Popen[bytes]
    log: Path

    def has_logged(self, words: str) -> bool:
        return words in self.log.read_text()

    def send(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, within: float) -> int:
        """Wait until it has ended; its exit code."""
        return self.process.wait(within)


@dataclass
class Scene:
    """A ledger and a remote for one test, and workers. There is no beat: the tests send the ticks."""

    redis: Redis
    redis_url: str
    store: JobStore
    client: Celery
    base: str
    folder: Path

    @contextmanager
    def worker(self, name: str = "worker") -> Iterator[Worker]:
        log = self.folder / f"{name}.log"
        env = {
            **clean_environ(),
            **SLOW,
            "LONGHAUL_REDIS_URL": self.redis_url,
            "LONGHAUL_ASYNC_URL": self.base,
            "LONGHAUL_CRAWLER_URL": self.base,
            "LONGHAUL_API_KEY": "k",
        }
        line = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "workers.app",
            "worker",
            "--hostname",
            f"{name}@%h",
            "--without-gossip",
            "--without-mingle",
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(line, env=env, cwd=ROOT, stdout=output, stderr=output)
        worker = Worker(process, log)
        try:
            until(lambda: worker.has_logged("ready."), "a worker that is ready")
            yield worker
        except BaseException:
            sys.stderr.write(log.read_text()[-20_000:])
            raise
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)

    def submit(self, *ids: str) -> None:
        self.store.submit([(id_, a_submission(f"https://example.com/{id_}")) for id_ in ids], tracked=False)

    def tick(self) -> bool:
        self.client.send_task("jobs.dispatch", queue="longhaul.upkeep", expires=60)
        return True

    def books(self) -> Any:
        return balance(self.store.books())

    def due(self, lane: str) -> dict[str, float]:
        return {
            str(id_): float(at)
            for id_, at in self.redis.zrange(f"longhaul:{{jobs}}:due:{lane}", 0, -1, withscores=True)
        }

    def tokens(self) -> int:
        return sum(
            int(self.redis.zcard(f"longhaul:{{jobs}}:{kind}:{step}"))
            for kind in ("started", "working")
            for step in ("send", "poll")
        )


@pytest.fixture
def holding() -> Iterator[Holding]:
    remote = Holding(Scraper(polls=0), threading.Event())
    yield remote
    remote.gate.set()


@pytest.fixture
def scene(redis: Redis, redis_url: str, holding: Holding, tmp_path: Path) -> Iterator[Scene]:
    client = Celery(broker=redis_url)
    with wire(holding) as remote:
        yield Scene(redis, redis_url, JobStore(redis, job_limits(lease=LEASE)), client, remote.base, tmp_path)
        holding.gate.set()
    client.close()


def test_a_stopped_worker_writes_what_the_remote_has_handed_out_and_keeps_no_lease(
    scene: Scene, holding: Holding
) -> None:
    ids = [f"job-{n}" for n in range(JOBS)]
    with scene.worker() as worker:
        holding.held = lambda _: True
        scene.submit(*ids)
        until(
            lambda: scene.tick() and len(holding.scraper.reads) == JOBS,
            "every result given by the remote, and none arrived",
        )
        assert scene.books().envelopes == 0
        worker.send()
        until(lambda: worker.has_logged("Warm shutdown"), "the worker to stop")
        scene.submit("late")
        scene.tick()
        holding.gate.set()
        assert worker.wait(LEASE + SOON_SECONDS) == 0
    found = envelopes(scene.redis)
    assert sorted(envelope["id"] for envelope in found) == sorted(ids)
    assert {(envelope["status"], envelope["submissions"], envelope["attempts"]) for envelope in found} == {
        ("finished", 1, 0)
    }
    # The later job was not claimed: it is due since its creation, and no batch counts as started.
    assert scene.due("poll:default") == {}
    assert [at <= scene.store.now() for at in scene.due("send:default").values()] == [True]
    assert scene.tokens() == 0
    assert scene.redis.hlen("unacked") == 0


def test_a_worker_stopped_twice_ends_at_once_and_another_takes_over(scene: Scene, holding: Holding) -> None:
    holding.deaf, holding.held = True, lambda path: int(path.rpartition("-")[2]) % 2 == 0
    ids = [f"job-{n}" for n in range(JOBS)]
    with scene.worker() as worker:
        scene.submit(*ids)
        until(lambda: scene.tick() and scene.books().envelopes == JOBS // 2, "half of the envelopes")
        worker.send()
        until(lambda: worker.has_logged("Warm shutdown"), "the worker to stop")
        assert worker.process.poll() is None
        began = time.monotonic()
        worker.send()
        assert worker.wait(30) == 0
        assert time.monotonic() - began < SOON_SECONDS
    assert worker.has_logged("second shutdown signal")
    # What was in flight keeps its lease; no failure was counted.
    assert scene.books().envelopes == JOBS // 2
    waiting = scene.due("poll:default")
    assert len(waiting) == JOBS // 2
    assert max(waiting.values()) <= scene.store.now() + LEASE
    holding.held = lambda _: False
    holding.gate.set()
    with scene.worker("successor") as successor:
        until(lambda: scene.tick() and scene.books().envelopes == JOBS, "the other half", 60)
        successor.send()
        assert successor.wait(LEASE + SOON_SECONDS) == 0
    found = envelopes(scene.redis)
    assert sorted(envelope["id"] for envelope in found) == sorted(ids)
    assert {(envelope["status"], envelope["submissions"], envelope["attempts"]) for envelope in found} == {
        ("finished", 1, 0)
    }
    assert scene.tokens() == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_with_nothing_to_do_ends_at_once(scene: Scene, times: int) -> None:
    with scene.worker() as worker:
        for _ in range(times):
            worker.send()
        assert worker.wait(SOON_SECONDS) in {0, 75}


def test_a_worker_stopped_twice_waits_for_no_call(scene: Scene, holding: Holding) -> None:
    holding.deaf, holding.held = True, lambda path: path == "/job"
    crawls = CrawlStore(scene.redis, crawl_limits(lease=LEASE))
    with scene.worker() as worker:
        crawls.order("crawl-1", NewCrawl(CrawlRequest("https://example.com/", max_depth=1), "http://receiver.test"))
        until(lambda: scene.tick() and "/job" in holding.asked, "a crawl that is being created")
        worker.send()
        until(lambda: worker.has_logged("Warm shutdown"), "the worker to stop")
        worker.send()
        # Its call would end later.
        assert worker.wait(SOON_SECONDS) == 75
    crawl = crawls.get("crawl-1")
    assert crawl is not None
    assert (crawl.state, crawl.submissions) == ("queued", 1)


def test_a_stopped_fetcher_finishes_its_pages_and_claims_no_more(tmp_path: Path, redis_url: str) -> None:
    gate = threading.Event()
    with wire(lambda _: Reply(200, b"page", after=gate)) as target, fetching(redis_url, tmp_path) as service:
        runs = [service.post(f"{target.base}/{n}")["id"] for n in range(40)]
        eventually(lambda: len(target.asked) >= 4)
        stop(service, "worker")
        begun = len(target.asked)
        later = service.post(f"{target.base}/later")["id"]
        gate.set()
        assert service.processes["worker"].wait(10) == 0
        # A page that had a slot of its host may still be requested, but not one that waited in the ledger.
        assert "/later" not in {ask.path for ask in target.asked}
        assert len(target.asked) >= begun
        leased = {str(id_) for id_, at in _due(service, "fetch").items() if at > time.time() + 1}
        assert leased == set()
        service.start_worker()
        for run in (*runs, later):
            assert service.ended(run)["response"]["body"] == "page"
        assert len({ask.path for ask in target.asked}) == len(target.asked) == 41


def test_a_fetcher_stopped_twice_ends_at_once_and_its_pages_are_fetched_after_the_lease(
    tmp_path: Path, redis_url: str
) -> None:
    gate = threading.Event()
    with wire(lambda _: Reply(200, b"page", after=gate)) as target, fetching(redis_url, tmp_path) as service:
        run = service.post(f"{target.base}/page")["id"]
        eventually(lambda: target.asked)
        stop(service, "worker")
        assert service.processes["worker"].poll() is None
        service.processes["worker"].terminate()
        assert service.processes["worker"].wait(SOON_SECONDS) == 75
        gate.set()
        service.start_worker()
        assert service.ended(run, within=30)["response"]["body"] == "page"


@contextmanager
def fetching(redis_url: str, folder: Path) -> Iterator[Service]:
    """A service with short leases."""
    service = Service(redis_url, folder, {"http_timeout": "6", "batch_timeout": "7", "lease": "8"})
    try:
        service.start_worker()
        service.start_web()
        yield service
    finally:
        service.stop_all()


def stop(service: Service, name: str) -> None:
    service.processes[name].terminate()
    eventually(lambda: "Warm shutdown" in (service.folder / f"{name}.log").read_text())


def _due(service: Service, lane: str) -> dict[str, float]:
    with Redis.from_url(service.redis_url, decode_responses=True) as redis:
        return {
            str(id_): float(at)
            for id_, at in redis.zrange(f"longhaul:service:{{runs}}:due:{lane}", 0, -1, withscores=True)
        }
