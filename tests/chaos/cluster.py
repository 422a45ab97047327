"""The whole system as users run it. Each part is a process of its own and is restarted when it has ended, as compose
does.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import requests
from redis import Redis
from redis.exceptions import RedisError

from longhaul.ledger.connection import connect
from tests.chaos.part import CLOCK, CRASH_FILE
from tests.chaos.workload import QUEUES, TROUBLED
from tests.installation import FAST, ROOT, clean_environ, until
from tests.tcp_proxy import Proxy, proxying
from workers.local.embedded_server import command
from workers.local.processes import Part
from workers.local.stack import PYTHON, Stack, free_ports

SERVER = "redis"
WORKERS = ("worker1", "worker2", "worker3")
CLOCKS = {"worker2": "30", "worker3": "-30"}
"""Workers whose clocks differ by a minute."""
POLL_SECONDS = 0.1
RESTART_SECONDS = 0.3
"""Until a part that has ended is restarted."""
STOP_WITHIN_SECONDS = 60.0
READY_WITHIN_SECONDS = 90.0


@dataclass
class Child:
    """A part and its process. `ending_since`: when this process was sent a fatal signal (monotonic). `crash_point`:
    where it is to kill itself.
    """

    part: Part
    log: Path
    process: subprocess.Popen[bytes] | None = None
    ending_since: float | None = None
    crash_point: str = ""
    ended: float = 0.0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Cluster:
    """Everything that runs, with its files in `folder`. `crashes` counts crash points that were reached; `exits`
    counts processes that ended without having been asked to.
    """

    folder: Path
    local: Stack
    redis: Redis
    network: Proxy
    children: dict[str, Child] = field(default_factory=dict)
    crashes: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    lock: threading.RLock = field(default_factory=threading.RLock)
    stopping: threading.Event = field(default_factory=threading.Event)

    def add(self, parts: Sequence[Part], env: Mapping[str, str]) -> None:
        """Start parts, to be kept running."""
        with self.lock:
            for part in parts:
                child = Child(replace(part, env={**part.env, **env}), self.log_file(part.name))
                self.children[part.name] = child
                self._run(child)

    def keep(self) -> None:
        """Restart parts that have ended, until `stopping` is set."""
        while not self.stopping.wait(POLL_SECONDS):
            with self.lock:
                for child in self.children.values():
                    self._restart_if_ended(child)

    def signal(self, name: str, number: signal.Signals, only_pid: int | None = None) -> int | None:
        """Send a signal to the part's process, if it is alive and has `only_pid`; the pid that got it."""
        with self.lock:
            child = self.children.get(name)
            if child is None or child.process is None or not child.alive or only_pid not in {None, child.process.pid}:
                return None
            if number in {signal.SIGKILL, signal.SIGTERM}:
                child.ending_since = child.ending_since or time.monotonic()
            child.process.send_signal(number)
            return child.process.pid

    def is_ending(self, name: str) -> bool:
        """Whether the part's process was already told to end."""
        with self.lock:
            return name in self.children and self.children[name].ending_since is not None

    def arm(self, name: str, crash_point: str, passes: int) -> None:
        """Tell the part to kill itself when it passes the crash point for the `passes`-th time."""
        with self.lock:
            if name in self.children:
                self.children[name].crash_point = crash_point
                self.crash_file(name).write_text(f"{passes} {crash_point}")

    def disarm(self) -> None:
        """Remove all crash points."""
        for name in tuple(self.children):
            self.crash_file(name).unlink(missing_ok=True)

    def stop(self, *names: str) -> list[str]:
        """Stop parts for good, as an operator does; the names of those that did not end in time."""
        with self.lock:
            ending = [self.children.pop(name) for name in names if name in self.children]
        for child in ending:
            if child.process and child.alive:
                child.process.send_signal(signal.SIGTERM)
                child.process.send_signal(signal.SIGCONT)
        late = []
        for child in ending:
            if child.process is None:
                continue
            try:
                child.process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                late.append(child.part.name)
                child.process.kill()
                child.process.wait()
        return late

    def log_file(self, name: str) -> Path:
        """The output of the part's processes."""
        return self.folder / "logs" / f"{name}.log"

    def crash_file(self, name: str) -> Path:
        """The file that tells the part where to kill itself."""
        return self.folder / f"{name}.crash"

    def has_logged(self, name: str, words: str) -> bool:
        """Whether the part's output contains `words`."""
        return words in self.log_file(name).read_text(errors="replace")

    def _restart_if_ended(self, child: Child) -> None:
        if child.alive:
            if child.ending_since and child.process and time.monotonic() > child.ending_since + STOP_WITHIN_SECONDS:
                self.exits[f"{child.part.name} did not stop"] += 1
                child.process.kill()
            return
        if child.process is not None:
            self._count_exit(child, child.process.returncode)
            child.process, child.ended = None, time.monotonic()
        if time.monotonic() > child.ended + RESTART_SECONDS:
            self._run(child)

    def _count_exit(self, child: Child, code: int) -> None:
        if child.ending_since is not None:
            return
        if child.crash_point and code == -signal.SIGKILL:
            self.crashes[child.crash_point] += 1
        else:
            self.exits[f"{child.part.name} (exit {code})"] += 1

    def _run(self, child: Child) -> None:
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(
                child.part.command,
                env={**clean_environ(), **child.part.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=ROOT,
            )
        child.ending_since = None


@contextmanager
def running(folder: Path, settings: Mapping[str, str]) -> Iterator[Cluster]:
    """A cluster that is ready for work; every process that it started has ended when the block is left."""
    (folder / "logs").mkdir(parents=True)
    (folder / "journals").mkdir()
    ports = free_ports()
    local = Stack(
        ports,
        f"redis://127.0.0.1:{ports.redis}/0",
        self_hosted=True,
        workers=len(WORKERS),
        secret="0123456789abcdef" * 3,
    )
    with connect(local.redis_url) as redis, proxying(ports.service) as network:
        cluster = Cluster(folder, local, redis, network)
        keeper = threading.Thread(target=cluster.keep)
        try:
            _start(cluster, settings)
            keeper.start()
            yield cluster
        finally:
            cluster.stopping.set()
            if keeper.is_alive():
                keeper.join()
            cluster.stop(*(name for name in cluster.children if name != SERVER))
            cluster.stop(SERVER)


def _start(cluster: Cluster, settings: Mapping[str, str]) -> None:
    local = cluster.local
    # fsync on every write: the suite asks what Longhaul loses, not what the server does.
    server = Part(SERVER, [*command(local.ports.redis, cluster.folder / "server"), "--appendfsync", "always"])
    cluster.add([server], {})
    until(lambda: _answers(cluster.redis), "the server", READY_WITHIN_SECONDS)
    remote = f"http://127.0.0.1:{cluster.network.port}"
    env = {
        **FAST,
        "LONGHAUL_LOG_LEVEL": "INFO",
        "LONGHAUL_LOG_FORMAT": "json",
        "LONGHAUL_API_KEYS": f'{{"second": "2", "{TROUBLED}": "3"}}',
        # Wide enough for the load: only what killed batches still hold of it can slow the account down.
        "LONGHAUL_ACCOUNT_LIMITS": '{"second": {"per_second": 200, "open": 300}}',
        **settings,
    }
    cluster.add([_with_chaos(part, cluster) for part in local.remote()], env)
    until(lambda: _is_healthy(f"{local.service_url}/health"), "the service", READY_WITHIN_SECONDS)
    # The proxy stands between the workers and the remote.
    env |= {"LONGHAUL_ASYNC_URL": remote, "LONGHAUL_CRAWLER_URL": remote}
    own = [_with_chaos(part, cluster) for part in local.own() if part.name != "flower"]
    (beat,) = (part for part in own if part.name == "beat")
    consumers = [
        Part(f"consumer-{queue}", [*PYTHON, "tests.chaos.consumer", queue, str(cluster.folder / "journals")], local.env)
        for queue in QUEUES
    ]
    cluster.add([*own, replace(beat, name="beat2"), *consumers], env)
    until(
        lambda: all(cluster.has_logged(name, "ready.") for name in (*WORKERS, "fetcher")),
        "the workers",
        READY_WITHIN_SECONDS,
    )
    until(lambda: _is_healthy(f"{local.receiver_url}/health"), "the receiver", READY_WITHIN_SECONDS)


def _with_chaos(part: Part, cluster: Cluster) -> Part:
    env = dict(part.env)
    if part.name in CLOCKS:
        env[CLOCK] = CLOCKS[part.name]
    if part.name in (*WORKERS, "webhook"):
        env[CRASH_FILE] = str(cluster.crash_file(part.name))
    return replace(part, command=[*PYTHON, "tests.chaos.part", *part.command[len(PYTHON) :]], env=env)


def _answers(redis: Redis) -> bool:
    with suppress(RedisError):
        return bool(redis.ping())
    return False


def _is_healthy(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=2).ok
    return False
