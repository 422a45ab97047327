"""The self-hosted service as its users run it: a Redis server, a web process and a Celery worker, each a process of its
own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.conftest import free_port
from workers.local.embedded_server import serving

ROOT = Path(__file__).parents[1]
WEB = ["uvicorn", "--factory", "service.app:api"]
WORKER = [
    "celery",
    "-A",
    "service.tasks",
    "worker",
    "--pool",
    "threads",
    "--concurrency",
    "4",
    "--without-gossip",
    "--without-mingle",
]


def eventually(condition: Callable[[], Any], within: float = 20.0) -> Any:
    """The first true value of `condition`, asked again and again for at most `within` seconds."""
    until = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {within} s"
        time.sleep(0.03)
    return value


@dataclass
class Service:
    """One running service; settings by their names without LONGHAUL_."""

    redis_url: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_web(self) -> None:
        self.launch("web")
        eventually(self._healthy, within=30)

    def start_worker(self) -> None:
        self.launch("worker")

    def launch(self, name: str) -> None:
        command = WORKER if name == "worker" else [*WEB, "--port", str(self.port)]
        given = {
            "redis_url": self.redis_url,
            "service_public_url": self.base,
            "service_private_targets": "1",
            **self.settings,
        }
        environment = os.environ | {f"LONGHAUL_{setting.upper()}": value for setting, value in given.items()}
        with (self.folder / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def _healthy(self) -> bool:
        assert self.processes["web"].poll() is None, (self.folder / "web.log").read_text()
        try:
            return requests.get(f"{self.base}/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    def stop_all(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    # What a client does.

    def post(self, url: str, **more: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.base}/jobs", json={"apiKey": "k", "url": url, **more}, timeout=10)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def get(self, run_id: str) -> requests.Response:
        return requests.get(f"{self.base}/jobs/{run_id}", timeout=10)

    def crawl(self, start_url: str, **more: Any) -> str:
        """The id of a new crawl: of depth 9 and without limits, unless `more` says otherwise."""
        body = {"api_key": "k", "start_url": start_url, "max_depth": 9, "url_regexp_include": ".*", **more}
        answer = requests.post(f"{self.base}/job", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "initiated"
        return str(answer.json()["jobId"])

    def progress(self, crawl_id: str) -> dict[str, Any]:
        """How far the crawl is."""
        return dict(requests.get(f"{self.base}/job/{crawl_id}/status", timeout=10).json())

    def delivered(self, crawl_id: str, within: float = 30.0) -> dict[str, Any]:
        """How far the crawl is once everything of it is delivered."""

        def found_ended() -> dict[str, Any] | None:
            found = self.progress(crawl_id)
            return found if found["status"] == "delivered" else None

        return dict(eventually(found_ended, within))

    def ended(self, run_id: str, within: float = 20.0) -> dict[str, Any]:
        """The document of the run once it has ended; reads its result."""

        def found_ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get(run_id).json()
            return found if found["status"] != "running" else None

        return dict(eventually(found_ended, within))


@contextlib.contextmanager
def service(folder: Path, **settings: str) -> Iterator[Service]:
    """A whole service of its own, with its own Redis server."""
    with serving(free_port()) as url:
        running = Service(url, folder, settings)
        try:
            running.start_worker()
            running.start_web()
            yield running
        finally:
            running.stop_all()
