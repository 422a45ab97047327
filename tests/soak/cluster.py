"""Everything that runs in a soak: a server with an append-only file, the parts that `longhaul up` starts, a consumer,
and the stub remote.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import requests
from celery import Celery
from redis import Redis

from benchmarks.rig import listens, stop
from longhaul.ledger.connection import connect
from tests.installation import ROOT, until
from workers.local.embedded_server import serving
from workers.local.processes import Part, Processes
from workers.local.stack import PYTHON, Stack, free_ports

WORKERS = 2
QUEUE = "soak"
READY_WITHIN_SECONDS = 90.0


@dataclass
class SoakCluster:
    """The running system. `groups`: parts that are started and stopped together, in the order of starting."""

    local: Stack
    redis: Redis
    client: Celery
    folder: Path
    remote: str
    settings: Mapping[str, str]
    stub: subprocess.Popen[bytes]
    groups: dict[str, Processes] = field(default_factory=dict)
    _session: requests.Session = field(default_factory=requests.Session)

    @property
    def request_log(self) -> Path:
        """The file of the remote's request log."""
        return self.folder / "requests"

    @property
    def journals(self) -> Path:
        """The folder of the consumer's journals."""
        return self.folder / "journals"

    def start(self, group: str, parts: Sequence[Part]) -> None:
        """Start parts as a group."""
        processes = self.groups[group] = Processes(self._write)
        processes.start([replace(part, env={**part.env, **self.settings}) for part in parts])

    def stop(self, group: str) -> None:
        """Stop a group as an operator does and wait until it has ended."""
        if processes := self.groups.pop(group, None):
            processes.__exit__(None, None, None)

    def start_workers(self) -> None:
        """Start the workers and wait until they are ready."""
        workers = [part for part in self.local.own() if part.name.startswith("worker")]
        before = self._ready()
        self.start("workers", workers)
        until(lambda: self._ready() >= before + WORKERS, "the workers are ready", READY_WITHIN_SECONDS)

    def set_mode(self, mode: str) -> None:
        """Set what the remote answers: see `stub_remote.MODES`."""
        self._session.put(f"{self.remote}/mode/{mode}", timeout=30).raise_for_status()

    def flush_request_log(self) -> None:
        """Have the remote write its log to the file."""
        self._session.put(f"{self.remote}/flush", timeout=30).raise_for_status()

    def processes(self) -> dict[str, int]:
        """The id of each process by its name."""
        pids = {child.part.name: child.process.pid for group in self.groups.values() for child in group._children}
        return {**pids, "redis": int(self.redis.info("server")["process_id"])}

    def ended(self) -> list[str]:
        """Parts that have ended without having been asked to."""
        codes = {child.part.name: child.process.poll() for group in self.groups.values() for child in group._children}
        return [
            f"{name} ended by itself (exit {code})"
            for name, code in {**codes, "the remote": self.stub.poll()}.items()
            if code is not None
        ]

    def _ready(self) -> int:
        logs = [self.folder / "logs" / f"worker{n}.log" for n in range(1, WORKERS + 1)]
        return sum(log.read_text(errors="replace").count("ready.") for log in logs if log.exists())

    def _write(self, name: str, line: str) -> None:
        with (self.folder / "logs" / f"{name}.log").open("a") as log:
            log.write(f"{line}\n")


@contextmanager
def running(folder: Path, settings: Mapping[str, str]) -> Iterator[SoakCluster]:
    """A cluster that is ready for jobs, with its files in `folder`; every process that it started has ended when the
    block is left.
    """
    for name in ("logs", "journals", "server"):
        (folder / name).mkdir(parents=True)
    ports = free_ports()
    remote = f"http://127.0.0.1:{ports.service}"
    env = {
        "LONGHAUL_ASYNC_URL": remote,
        "LONGHAUL_CRAWLER_URL": remote,
        "LONGHAUL_API_KEY": "k",
        "LONGHAUL_LOG_FORMAT": "json",
        **settings,
    }
    with (
        serving(ports.redis, folder / "server") as url,
        connect(url) as redis,
        Celery(broker=url, backend=url, set_as_current=False) as client,
    ):
        local = Stack(ports, url, self_hosted=False, workers=WORKERS, secret="0123456789abcdef" * 3)
        line = [*PYTHON, "tests.soak.stub_remote", str(ports.service), str(folder / "requests")]
        stub = subprocess.Popen(line, cwd=ROOT, start_new_session=True)
        cluster = SoakCluster(local, redis, client, folder, remote, env, stub)
        try:
            until(lambda: listens(ports.service), "the remote", READY_WITHIN_SECONDS)
            consumer = Part(
                "consumer", [sys.executable, "-m", "tests.chaos.consumer", QUEUE, str(cluster.journals)], local.env
            )
            own = {part.name: part for part in local.own()}
            cluster.start("others", [own["webhook"], own["flower"], consumer])
            cluster.start_workers()
            cluster.start("beat", [own["beat"]])
            yield cluster
        finally:
            for group in ("beat", "workers", "others"):
                cluster.stop(group)
            stop([stub])


def clock() -> float:
    """Epoch seconds. All processes, the server too, share this machine's clock."""
    return time.time()
