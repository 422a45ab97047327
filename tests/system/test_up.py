"""`longhaul up`: everything on one machine from one command, kept running, and no process left after Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
from redis import Redis

from longhaul.jobs.store import JobStore
from longhaul.ledger.connection import connect
from tests.builders import a_submission, envelopes, job_limits
from tests.installation import FAST, ROOT, clean_environ, until
from tests.wire import Reply, wire

# The command itself, but for its ports: the usual ones may be in use.
UP = """
import sys
from pathlib import Path
from workers.local.stack import Stack, free_ports
from workers.local.up import run
ports = free_ports()
redis_url, secret = f"redis://127.0.0.1:{ports.redis}/0", "0123456789abcdef" * 3
run(Stack(ports, redis_url, self_hosted=sys.argv[2] == "", workers=1, secret=secret), Path(sys.argv[1]))
"""


@dataclass
class Up:
    process: subprocess.Popen[bytes]
    said: Path

    def says(self, words: str) -> bool:
        return words in self.said.read_text()

    def address(self, part: str) -> str:
        found = re.search(rf"^  {part} +(\S+)", self.said.read_text(), re.MULTILINE)
        assert found, part
        return found[1]

    def redis(self) -> Redis:
        return connect(self.address("ledger and broker"))

    def children(self, *words: str) -> list[psutil.Process]:
        """Its processes with all `words` in their command lines."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in found if set(words) <= set(child.cmdline())]


@contextmanager
def started(folder: Path, remote: str = "") -> Iterator[Up]:
    env = {
        **clean_environ(),
        **FAST,
        "LONGHAUL_HTTP_TIMEOUT": "30",
        "LONGHAUL_BATCH_TIMEOUT": "31",
        "LONGHAUL_LEASE": "32",
    }
    env |= {"LONGHAUL_VISIBILITY_TIMEOUT": "40"}
    if remote:
        env |= {"LONGHAUL_ASYNC_URL": remote, "LONGHAUL_CRAWLER_URL": remote, "LONGHAUL_API_KEY": "k"}
    said = folder / "said"
    with said.open("wb") as output:
        line = [sys.executable, "-c", UP, str(folder / "data"), remote]
        up = Up(subprocess.Popen(line, env=env, cwd=ROOT, stdout=output, stderr=output, start_new_session=True), said)
    try:
        until(lambda: up.says("Ctrl-C ends it all.") and up.says("ready."), "everything up", 80)
        yield up
    except BaseException:
        sys.stderr.write(said.read_text()[-20_000:])
        raise
    finally:
        for child in (
            [*psutil.Process(up.process.pid).children(recursive=True), up.process] if up.process.poll() is None else []
        ):
            child.kill()
        up.process.wait(10)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with started(tmp_path) as one:
        yield one


def test_everything_is_up_kept_up_and_gone_after_ctrl_c(up: Up) -> None:
    assert requests.get(f"{up.address('service')}/health", timeout=10).ok
    assert requests.get(f"{up.address('webhook receiver')}/health", timeout=10).ok
    assert requests.get(f"{up.address('Flower')}/healthcheck", timeout=10).ok
    assert re.match(r"Starting (Redis|Valkey) [0-9.]+ \(/.*-server\) and everything else", up.said.read_text())
    (worker,) = up.children("workers.app", "worker")
    worker.kill()
    until(lambda: up.says("worker1  | ended (exit -9); starting it again"), "a line about it")
    redis = up.redis()
    JobStore(redis, job_limits()).submit([("job-1", a_submission("http://ok.fault.invalid/"))], tracked=False)
    until(lambda: envelopes(redis), "an envelope")
    redis.close()
    children = up.children()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(40) == 0
    assert up.says("Stopped.")
    assert [child for child in children if child.is_running()] == []


def test_a_second_ctrl_c_ends_it_quickly(tmp_path: Path) -> None:
    gate = threading.Event()
    with (
        wire(lambda ask: Reply(200, b"{}", after=gate if ask.method == "POST" else None)) as remote,
        started(tmp_path, remote.base) as up,
    ):
        redis = up.redis()
        JobStore(redis, job_limits()).submit([("job-1", a_submission())], tracked=False)
        until(lambda: any(ask.method == "POST" for ask in remote.asked), "a job that is being sent")
        redis.close()
        children = up.children()
        up.process.send_signal(signal.SIGINT)
        until(lambda: up.says("worker: Warm shutdown"), "a worker that waits for its answer")
        began = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(40) == 0
        assert time.monotonic() - began < 10
        # It ended by itself and was not killed.
        assert up.says("second shutdown signal")
        assert [child for child in children if child.is_running()] == []
        gate.set()
