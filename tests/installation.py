"""The whole system as users run it: each part a process of its own, on free loopback ports, and a client of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import requests
from celery import Celery
from redis import Redis

from longhaul.crawls.store import CrawlStore
from longhaul.jobs.store import JobStore
from longhaul.ledger.connection import connect
from longhaul.ledger.results import Reader
from longhaul.work.balance import Balance, balance
from tests.builders import crawl_limits, job_limits
from workers.local.processes import Part, Processes
from workers.local.stack import Stack, free_ports

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
# Short times, so that the work of a dead process is taken over within seconds. Each is below the next, as the settings
# require.
FAST = {
    "LONGHAUL_POLL_FIRST": "0.2",
    "LONGHAUL_POLL_CEILING": "1",
    "LONGHAUL_NOT_FOUND_GRACE": "5",
    "LONGHAUL_CRAWL_GRACE": "5",
    "LONGHAUL_HTTP_TIMEOUT": "4",
    "LONGHAUL_BATCH_TIMEOUT": "5",
    "LONGHAUL_LEASE": "6",
    "LONGHAUL_VISIBILITY_TIMEOUT": "12",
    "LONGHAUL_SERVICE_FAULTS": "1",
    "LONGHAUL_MAX_BODY_BYTES": str(4 * 1024 * 1024),
    "LONGHAUL_LOG_LEVEL": "DEBUG",
}

QUEUE = "tests"


def until(condition: Callable[[], T], what: str, seconds: float = 40.0) -> T:
    """Wait until `condition()` is true and return its value; fails after `seconds`. `what`: what is awaited."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return value


@dataclass
class Installation:
    """A running system. `lines`: (process, line) of all logs. `envelopes`: what was read so far, by id."""

    local: Stack
    processes: Processes
    redis: Redis
    lines: list[tuple[str, str]]
    client: Celery
    envelopes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user's shell beside this installation."""
        return {**clean_environ(), **self.local.env}

    def submit(self, url: str, **arguments: Any) -> str:
        """Send a `jobs.submit` as another service does; the id of the job."""
        return str(self.client.send_task("jobs.submit", kwargs={"url": url, "queue": QUEUE, **arguments}).id)

    def read(self, queue: str = QUEUE) -> None:
        """Read a results queue into `envelopes`, a list for each id, so that a duplicate shows."""
        reader = Reader(self.redis, queue, "tests", "tests")
        while entries := reader.read():
            for entry in entries:
                self.envelopes.setdefault(entry.envelope["id"], []).append(entry.envelope)
            reader.acknowledge(entries)

    def envelope(self, job_id: str, queue: str = QUEUE, seconds: float = 40.0) -> dict[str, Any]:
        """Wait for the one envelope of a job."""

        def arrived() -> bool:
            # Restart what has ended, as `longhaul up` and compose do: Celery 5.7 may end while it reconnects.
            self.processes.keep()
            self.read(queue)
            return job_id in self.envelopes

        until(arrived, f"an envelope of job {job_id}", seconds)
        (envelope,) = self.envelopes[job_id]
        return envelope

    def books(self) -> Balance:
        """The balance of the jobs' books."""
        return balance(JobStore(self.redis, job_limits()).books())

    def crawl_books(self) -> Balance:
        """The balance of the crawls' books."""
        return balance(CrawlStore(self.redis, crawl_limits()).books())

    def stop_for_good(self, name: str) -> None:
        """Stop a part and do not restart it."""
        (child,) = (child for child in self.processes._children if child.part.name == name)
        child.process.terminate()
        child.process.wait(timeout=60)

    def stop(self, *names: str, by: signal.Signals) -> None:
        """Send the signal `by` to parts, wait until they have ended, and start them again."""
        ending = [child.process for child in self.processes._children if child.part.name in names]
        for process in ending:
            process.send_signal(by)
        for process in ending:
            process.wait(timeout=60)
        self.processes.keep()

    def command(
        self, *arguments: str, given: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the `longhaul` command."""
        line = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.run(
            line,
            input=given,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )

    def node(self) -> str:
        """The part after the @ of the workers' names."""
        return socket.gethostname()

    def flower(self, path: str) -> requests.Response:
        """Flower's answer to a logged-in user."""
        user, _, password = self.local.env["FLOWER_BASIC_AUTH"].partition(":")
        return requests.get(f"{self.local.flower_url}{path}", auth=(user, password), timeout=10)


def clean_environ() -> dict[str, str]:
    """The environment of this process, without the settings of the person who runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LONGHAUL_", "FLOWER_"))}


@contextmanager
def installed(
    redis_url: str, settings: Mapping[str, str] | None = None, leave_out: Sequence[str] = ()
) -> Iterator[Installation]:
    """Start all parts but those in `leave_out`; at the end every job and crawl must end and the books must balance."""
    lines: list[tuple[str, str]] = []
    local = Stack(free_ports(), redis_url, self_hosted=True, workers=2, secret="0123456789abcdef" * 3)
    extra = {**FAST, **(settings or {})}
    redis = connect(redis_url)
    client = Celery(broker=redis_url, backend=redis_url)
    with Processes(lambda name, line: lines.append((name, line))) as processes:
        installation = Installation(local, processes, redis, lines, client)
        try:
            processes.start(_with(local.remote(), extra, leave_out))
            processes.start(_with(local.own(), extra, leave_out))
            until(lambda: sum("ready." in line for _, line in lines) >= 3, "two workers and the fetcher ready")
            yield installation
            until(lambda: not installation.books().open, "every job ended")
            until(lambda: not installation.crawl_books().open, "every crawl ended")
            assert installation.books().faults + installation.crawl_books().faults == []
        except BaseException:
            sys.stderr.write("\n".join(f"{name:<8} | {line}" for name, line in lines[-200:]))
            raise
        finally:
            redis.close()
            client.close()


def _with(parts: Sequence[Part], extra: Mapping[str, str], leave_out: Sequence[str]) -> list[Part]:
    return [replace(part, env={**part.env, **extra}) for part in parts if part.name not in leave_out]
