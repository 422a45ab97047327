"""What every measurement runs on: a new server, the stub remote and real worker processes, on free loopback ports."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import psutil
from celery import Celery
from redis import Redis

from config.celery_settings import HINT_EXPIRES, UPKEEP
from config.settings import Settings
from longhaul.jobs.arguments import NewJob
from longhaul.jobs.job import JobStep
from longhaul.ledger.connection import connect
from longhaul.ledger.results import stream
from longhaul.scraperapi.models import ScrapeRequest
from longhaul.work.balance import balance
from longhaul.work.item import State
from tasks.plumbing.runtime import Runtime, build
from workers.local.embedded_server import serving

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
START_WITHIN_SECONDS = 60.0
END_WITHIN_SECONDS = 300.0
TICK_SECONDS = 1.0
POLL_SECONDS = 0.02
"""Between two checks whether a measurement is over."""


class Overdue(Exception):
    """A measurement took too long."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A running server and remote. `folder` has the logs of the workers."""

    redis_url: str
    remote: str
    redis: Redis
    client: Celery
    folder: Path

    @contextmanager
    def longhaul(self, **settings: str) -> Iterator[list[psutil.Process]]:
        """Two of our workers, as the compose file starts them. `settings`: names without LONGHAUL_, in lower case."""
        given = {
            "redis_url": self.redis_url,
            "async_url": self.remote,
            "api_key": "k",
            "log_level": "WARNING",
            **settings,
        }
        environment = {f"LONGHAUL_{name.upper()}": value for name, value in given.items()}
        line = ["-A", "workers.app", "worker", "--without-gossip", "--without-mingle"]
        with self.workers([[*line, "-n", f"longhaul-{at}@%h"] for at in range(WORKERS)], environment) as processes:
            yield processes

    @contextmanager
    def plain(self, pool: str) -> Iterator[list[psutil.Process]]:
        """Plain Celery on as many processes: one worker with two children, or two workers with threads."""
        environment = {"PLAIN_REMOTE": self.remote, "PLAIN_BROKER": self.redis_url}
        line = ["-A", "benchmarks.baselines.plain_celery", "worker", "-P", pool, "-l", "WARNING"]
        lines = (
            [[*line, "-c", str(WORKERS)]]
            if pool == "prefork"
            else [[*line, "-c", "4", "-n", f"plain-{at}@%h"] for at in range(WORKERS)]
        )
        with self.workers(lines, environment) as processes:
            yield processes

    @contextmanager
    def runtime(self, **settings: object) -> Iterator[Runtime]:
        """A runtime in this process, on an emptied server, to prepare jobs with; at the end the books must balance."""
        self.redis.flushall()
        given = {"redis_url": self.redis_url, "api_key": "k", "async_url": self.remote, **settings}
        runtime = build(Settings(**given))  # type: ignore[arg-type]
        try:
            yield runtime
            # A figure is valid only if nothing was lost.
            faults = balance(runtime.jobs.books()).faults
            if faults:
                raise AssertionError("; ".join(faults))
        finally:
            runtime.close()

    def now(self) -> float:
        """The server's time, which is also that of the envelopes."""
        seconds, micros = self.redis.time()
        return float(seconds) + float(micros) / 1e6

    def tick_until(self, done: Callable[[], bool]) -> None:
        """Send beat's tick each second until `done`."""
        next_tick = time.monotonic()

        def ticking() -> bool:
            nonlocal next_tick
            if time.monotonic() >= next_tick:
                self.client.send_task("jobs.dispatch", queue=UPKEEP, expires=HINT_EXPIRES)
                next_tick += TICK_SECONDS
            return done()

        self.wait(ticking)

    def wait(self, done: Callable[[], bool], poll_seconds: float = POLL_SECONDS) -> None:
        """Call `done` every `poll_seconds` until it is true; raises `Overdue` where that takes too long."""
        until = time.monotonic() + END_WITHIN_SECONDS
        while not done():
            if time.monotonic() > until:
                raise Overdue(f"not done after {END_WITHIN_SECONDS:g} s; logs:\n{self.logs()}")
            time.sleep(poll_seconds)

    def logs(self) -> str:
        """The end of each log."""
        return "\n".join(path.read_text()[-1500:] for path in sorted(self.folder.glob("*.log")))

    @contextmanager
    def workers(self, lines: Sequence[Sequence[str]], environment: Mapping[str, str]) -> Iterator[list[psutil.Process]]:
        """Start Celery workers with these command lines and wait until all of them answer."""
        started: list[subprocess.Popen[bytes]] = []
        try:
            for at, line in enumerate(lines):
                started.append(self._start(f"worker-{at}", ["celery", *line], environment))
            until = time.monotonic() + START_WITHIN_SECONDS
            while len(self.client.control.ping(timeout=0.5)) < len(lines):
                if time.monotonic() > until or any(process.poll() is not None for process in started):
                    raise Overdue(f"the workers are not ready; logs:\n{self.logs()}")
            yield [psutil.Process(process.pid) for process in started]
        finally:
            stop(started)

    @contextmanager
    def server(
        self, name: str, line: Sequence[str], port: int, environment: Mapping[str, str] | None = None
    ) -> Iterator[psutil.Process]:
        """Start `python -m` with this command line and wait until it listens on its loopback port."""
        process = self._start(name, line, environment or {})
        try:
            until = time.monotonic() + START_WITHIN_SECONDS
            while not listens(port):
                if time.monotonic() > until or process.poll() is not None:
                    raise Overdue(f"{name} is not ready; logs:\n{self.logs()}")
                time.sleep(POLL_SECONDS)
            yield psutil.Process(process.pid)
        finally:
            stop([process])

    def _start(self, name: str, line: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LONGHAUL_")}
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *line], cwd=ROOT, env={**clean, **environment}, stdout=log, stderr=log
            )


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop processes that this one started, and wait until they have ended."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def prepare(runtime: Runtime, count: int, url_length: int = 0) -> None:
    """Submit and send `count` jobs from this process, without the workers."""
    wanted = [NewJob(ScrapeRequest(f"http://target.invalid/{at}/".ljust(url_length, "x"))) for at in range(count)]
    runtime.jobs.submit([(f"{uuid4()}", submission) for submission in wanted], tracked=False)
    while runtime.runners["jobs"].run(JobStep.SEND, "default").claimed:
        pass


def finished(runtime: Runtime) -> int:
    """How many jobs have finished."""
    return runtime.jobs.books().counts.get(State.FINISHED, 0)


def last_envelope(redis: Redis) -> float:
    """When the newest envelope was written, by the server's clock, in seconds."""
    ((entry, _),) = redis.xrevrange(stream("results"), count=1)
    return int(entry.partition("-")[0]) / 1000


def cpu(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds that the processes and their children have used so far."""
    total = 0.0
    for process in processes:
        for member in [process, *process.children(recursive=True)]:
            times = member.cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def start_rig() -> Iterator[Rig]:
    """A rig while the block runs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="longhaul-bench-")))
        url = stack.enter_context(serving(free_port()))
        port = free_port()
        redis = connect(url)
        stack.callback(redis.close)
        client = Celery("bench", broker=url, set_as_current=False)
        stack.callback(client.close)
        rig = Rig(url, f"http://127.0.0.1:{port}", redis, client, folder)
        stack.enter_context(rig.server("stub", ["benchmarks.servers.stub_remote", str(port)], port))
        yield rig


def free_port() -> int:
    """A free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether a process listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def machine(redis: Redis) -> str:
    """The machine and the versions, in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            model,
        )
    server = redis.info("server")
    name = "Valkey" if "valkey_version" in server else "Redis"
    parts = [
        f"{os.cpu_count()} x {model}",
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
        f"{name} {server.get('valkey_version') or server['redis_version']}",
        *(f"{package} {version(package)}" for package in ("celery", "kombu", "aiohttp", "requests", "redis")),
        f"load {os.getloadavg()[0]:.2f}",
    ]
    return ", ".join(parts)
