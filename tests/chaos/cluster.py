"""The whole system as users run it, each part a process of its own that is started again when it has ended, as compose
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
from tests.chaos.part import AIM, CLOCK
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
LOOKS_EVERY = 0.1
REST = 0.3
"""Seconds until a part that has ended is started again."""
STOPS_WITHIN = 60.0
READY_WITHIN = 90.0


@dataclass
class Child:
    """A part and its process. `doomed`: when this process was sent a deadly signal (monotonic), `aim`: where it is to
    kill itself.
    """

    part: Part
    log: Path
    process: subprocess.Popen[bytes] | None = None
    doomed: float | None = None
    aim: str = ""
    ended: float = 0.0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Plant:
    """Everything that runs, with its files in `folder`. `aimed` counts deaths where an aim was met, `by_itself` ends
    that nobody asked for.
    """

    folder: Path
    local: Stack
    redis: Redis
    weather: Proxy
    children: dict[str, Child] = field(default_factory=dict)
    aimed: Counter[str] = field(default_factory=Counter)
    by_itself: Counter[str] = field(default_factory=Counter)
    lock: threading.RLock = field(default_factory=threading.RLock)
    over: threading.Event = field(default_factory=threading.Event)

    def add(self, parts: Sequence[Part], env: Mapping[str, str]) -> None:
        """Start parts and keep them running."""
        with self.lock:
            for part in parts:
                child = Child(replace(part, env={**part.env, **env}), self.log_of(part.name))
                self.children[part.name] = child
                self._run(child)

    def keep(self) -> None:
        """Start again what has ended, until it is over."""
        while not self.over.wait(LOOKS_EVERY):
            with self.lock:
                for child in self.children.values():
                    self._look_after(child)

    def signal(self, name: str, number: signal.Signals, only: int | None = None) -> int | None:
        """Send it, where there is somebody to get it, `only` this one if it is named; who that was."""
        with self.lock:
            child = self.children.get(name)
            if child is None or child.process is None or not child.alive or only not in {None, child.process.pid}:
                return None
            if number in {signal.SIGKILL, signal.SIGTERM}:
                child.doomed = child.doomed or time.monotonic()
            child.process.send_signal(number)
            return child.process.pid

    def is_doomed(self, name: str) -> bool:
        """Whether the part's process was told to end already, one way or another."""
        with self.lock:
            return name in self.children and self.children[name].doomed is not None

    def aim(self, name: str, crossing: str, passed: int) -> None:
        """Tell the part to kill itself at the so many-th crossing of this name."""
        with self.lock:
            if name in self.children:
                self.children[name].aim = crossing
                self.aim_of(name).write_text(f"{passed} {crossing}")

    def take_back_aims(self) -> None:
        """Nobody kills himself any more."""
        for name in tuple(self.children):
            self.aim_of(name).unlink(missing_ok=True)

    def stop(self, *names: str) -> list[str]:
        """End parts for good, as an operator does; which did not end in time."""
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
                child.process.wait(STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                late.append(child.part.name)
                child.process.kill()
                child.process.wait()
        return late

    def log_of(self, name: str) -> Path:
        """The file of all that the part's processes say."""
        return self.folder / "logs" / f"{name}.log"

    def aim_of(self, name: str) -> Path:
        """The file of the part's aim."""
        return self.folder / f"{name}.aim"

    def says(self, name: str, words: str) -> bool:
        """Whether the part has said so."""
        return words in self.log_of(name).read_text(errors="replace")

    def _look_after(self, child: Child) -> None:
        if child.alive:
            if child.doomed and child.process and time.monotonic() > child.doomed + STOPS_WITHIN:
                self.by_itself[f"{child.part.name} did not stop"] += 1
                child.process.kill()
            return
        if child.process is not None:
            self._note_end(child, child.process.returncode)
            child.process, child.ended = None, time.monotonic()
        if time.monotonic() > child.ended + REST:
            self._run(child)

    def _note_end(self, child: Child, code: int) -> None:
        if child.doomed is not None:
            return
        if child.aim and code == -signal.SIGKILL:
            self.aimed[child.aim] += 1
        else:
            self.by_itself[f"{child.part.name} (exit {code})"] += 1

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
        child.doomed = None


@contextmanager
def running(folder: Path, settings: Mapping[str, str]) -> Iterator[Plant]:
    """The plant, ready for work; at the end every process that it started is gone."""
    (folder / "logs").mkdir(parents=True)
    (folder / "notes").mkdir()
    ports = free_ports()
    local = Stack(
        ports,
        f"redis://127.0.0.1:{ports.redis}/0",
        self_hosted=True,
        workers=len(WORKERS),
        secret="0123456789abcdef" * 3,
    )
    with connect(local.redis_url) as redis, proxying(ports.service) as weather:
        plant = Plant(folder, local, redis, weather)
        keeper = threading.Thread(target=plant.keep)
        try:
            _start(plant, settings)
            keeper.start()
            yield plant
        finally:
            plant.over.set()
            if keeper.is_alive():
                keeper.join()
            plant.stop(*(name for name in plant.children if name != SERVER))
            plant.stop(SERVER)


def _start(plant: Plant, settings: Mapping[str, str]) -> None:
    local = plant.local
    # What is acknowledged is in the file: the suite asks what *Longhaul* loses.
    server = Part(SERVER, [*command(local.ports.redis, plant.folder / "server"), "--appendfsync", "always"])
    plant.add([server], {})
    until(lambda: _answers(plant.redis), "the server", READY_WITHIN)
    remote = f"http://127.0.0.1:{plant.weather.port}"
    env = {
        **FAST,
        "LONGHAUL_LOG_LEVEL": "INFO",
        "LONGHAUL_LOG_FORMAT": "json",
        "LONGHAUL_API_KEYS": f'{{"second": "2", "{TROUBLED}": "3"}}',
        # Wide enough for the load, so that what dead batches held of it is what is tried.
        "LONGHAUL_ACCOUNT_LIMITS": '{"second": {"per_second": 200, "open": 300}}',
        **settings,
    }
    plant.add([_chaotic(part, plant) for part in local.remote()], env)
    until(lambda: _healthy(f"{local.service_url}/health"), "the service", READY_WITHIN)
    # Between the workers and the remote there is weather.
    env |= {"LONGHAUL_ASYNC_URL": remote, "LONGHAUL_CRAWLER_URL": remote}
    own = [_chaotic(part, plant) for part in local.own() if part.name != "flower"]
    (beat,) = (part for part in own if part.name == "beat")
    consumers = [
        Part(f"consumer-{queue}", [*PYTHON, "tests.chaos.consumer", queue, str(plant.folder / "notes")], local.env)
        for queue in QUEUES
    ]
    plant.add([*own, replace(beat, name="beat2"), *consumers], env)
    until(lambda: all(plant.says(name, "ready.") for name in (*WORKERS, "fetcher")), "the workers", READY_WITHIN)
    until(lambda: _healthy(f"{local.receiver_url}/health"), "the receiver", READY_WITHIN)


def _chaotic(part: Part, plant: Plant) -> Part:
    env = dict(part.env)
    if part.name in CLOCKS:
        env[CLOCK] = CLOCKS[part.name]
    if part.name in (*WORKERS, "webhook"):
        env[AIM] = str(plant.aim_of(part.name))
    return replace(part, command=[*PYTHON, "tests.chaos.part", *part.command[len(PYTHON) :]], env=env)


def _answers(redis: Redis) -> bool:
    with suppress(RedisError):
        return bool(redis.ping())
    return False


def _healthy(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=2).ok
    return False
