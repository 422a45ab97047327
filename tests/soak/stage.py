"""Everything that runs: a server with an append-only file, the parts that `longhaul up` starts, a consumer, and the
patient remote.
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
READY_WITHIN = 90.0


@dataclass
class Stage:
    """What the soak works with. `groups`: parts that are started and stopped together, in the order of starting."""

    local: Stack
    redis: Redis
    caller: Celery
    folder: Path
    remote: str
    settings: Mapping[str, str]
    stub: subprocess.Popen[bytes]
    groups: dict[str, Processes] = field(default_factory=dict)
    _session: requests.Session = field(default_factory=requests.Session)

    @property
    def diary(self) -> Path:
        """What the remote writes down."""
        return self.folder / "diary"

    @property
    def notes(self) -> Path:
        """What the consumer writes down."""
        return self.folder / "notes"

    def start(self, group: str, parts: Sequence[Part]) -> None:
        """Start parts as one group."""
        processes = self.groups[group] = Processes(self._write)
        processes.start([replace(part, env={**part.env, **self.settings}) for part in parts])

    def stop(self, group: str) -> None:
        """End a group as an operator does, and wait for it."""
        if processes := self.groups.pop(group, None):
            processes.__exit__(None, None, None)

    def start_workers(self) -> None:
        """Until they are ready for work."""
        workers = [part for part in self.local.own() if part.name.startswith("worker")]
        before = self._ready()
        self.start("workers", workers)
        until(lambda: self._ready() >= before + WORKERS, "the workers are ready", READY_WITHIN)

    def tell(self, what: str) -> None:
        """Tell the remote: `mode/<mode>`, or `sync`."""
        self._session.put(f"{self.remote}/{what}", timeout=30).raise_for_status()

    def processes(self) -> dict[str, int]:
        """The id of each process by its name."""
        pids = {child.part.name: child.process.pid for group in self.groups.values() for child in group._children}
        return {**pids, "redis": int(self.redis.info("server")["process_id"])}

    def ended(self) -> list[str]:
        """Parts that have ended, though nobody asked them to."""
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
def standing(folder: Path, settings: Mapping[str, str]) -> Iterator[Stage]:
    """The stage, ready for jobs, with its files in `folder`; at the end every process that it started is gone."""
    for name in ("logs", "notes", "server"):
        (folder / name).mkdir(parents=True)
    ports = free_ports()
    remote = f"http://127.0.0.1:{ports.service}"
    given = {
        "LONGHAUL_ASYNC_URL": remote,
        "LONGHAUL_CRAWLER_URL": remote,
        "LONGHAUL_API_KEY": "k",
        "LONGHAUL_LOG_FORMAT": "json",
        **settings,
    }
    with (
        serving(ports.redis, folder / "server") as url,
        connect(url) as redis,
        Celery(broker=url, backend=url, set_as_current=False) as caller,
    ):
        local = Stack(ports, url, self_hosted=False, workers=WORKERS, secret="0123456789abcdef" * 3)
        line = [*PYTHON, "tests.soak.patient", str(ports.service), str(folder / "diary")]
        stub = subprocess.Popen(line, cwd=ROOT, start_new_session=True)
        stage = Stage(local, redis, caller, folder, remote, given, stub)
        try:
            until(lambda: listens(ports.service), "the remote", READY_WITHIN)
            consumer = Part(
                "consumer", [sys.executable, "-m", "tests.chaos.consumer", QUEUE, str(stage.notes)], local.env
            )
            own = {part.name: part for part in local.own()}
            stage.start("others", [own["webhook"], own["flower"], consumer])
            stage.start_workers()
            stage.start("beat", [own["beat"]])
            yield stage
        finally:
            for group in ("beat", "workers", "others"):
                stage.stop(group)
            stop([stub])


def clock() -> float:
    """Epoch seconds: all processes share this machine's clock, the ledger's server among them."""
    return time.time()
