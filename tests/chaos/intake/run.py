"""A client that sends, and workers that are killed while they take messages; then the count of lost messages."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import uuid4

from amqp.exceptions import AMQPError
from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from config.addresses import is_redis
from config.celery_settings import INTAKE
from longhaul.jobs.store import JobStore
from longhaul.ledger.connection import connect
from tests.builders import job_limits
from tests.conftest import free_port
from tests.installation import ROOT, clean_environ, until
from workers.local.embedded_server import serving

QUORUM = {"task_default_queue_type": "quorum", "broker_transport_options": {"confirm_publish": True}}
"""What a client sets for RabbitMQ."""
CRASH_POINTS = {
    "asked": "BRPOP is sent, its answer not read",
    "answered": "the answer is read, Celery does not have the message",
    "recorded": "Celery has the message",
    "begun": "its task begins",
    "done": "its task has ended",
    "acknowledging": "its acknowledgement is not sent yet",
    "any": "at any time",
}
TASK_CRASH_POINTS = ("begun", "done", "any")
"""Crash points outside the transport."""
BACKLOG = 300
"""Messages that wait in the queue before the client pauses."""
BURST = 100
"""Messages sent between two checks of the queue's length."""
CONNECTION_ERRORS = (KombuError, OSError, AMQPError, RedisError)
MAX_PASSES = 40
MAX_MILLISECONDS = 300
DEAD_WITHIN_SECONDS = 90.0
SETTLED_WITHIN_SECONDS = 180.0
RECORDED_WITHIN_SECONDS = 15.0
VISIBILITY_SECONDS = 4
FAST = {
    "LONGHAUL_API_KEY": "k",
    # Nothing listens there: jobs are recorded and never sent.
    "LONGHAUL_ASYNC_URL": "http://127.0.0.1:9",
    "LONGHAUL_HTTP_TIMEOUT": "1",
    "LONGHAUL_BATCH_TIMEOUT": "2",
    "LONGHAUL_LEASE": "3",
    "LONGHAUL_VISIBILITY_TIMEOUT": str(VISIBILITY_SECONDS),
    "LONGHAUL_LOG_LEVEL": "ERROR",
}


@dataclass
class IntakeResult:
    """`lost`: ids of messages without a record. `left`: messages that no worker took or acknowledged."""

    kills: Counter[str] = field(default_factory=Counter)
    sent: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: int = 0
    seconds: float = 0.0

    def report(self, transport: str, seed: int) -> str:
        """The result as text."""
        rows = [f"  {point:<14}{self.kills[point]:>5}   {words}" for point, words in CRASH_POINTS.items()]
        head = f"transport {transport}, seed {seed}: {self.kills.total()} kills in {self.seconds:.0f} s"
        return "\n".join([head, *rows, f"  messages {len(self.sent)}, left {self.left}, lost {len(self.lost)}"])


@dataclass
class IntakeRun:
    """A server, a client that sends, and workers that die."""

    redis_url: str
    broker_url: str
    redis: Redis
    transport: str
    draw: random.Random
    result: IntakeResult = field(default_factory=IntakeResult)

    def send_until(self, over: threading.Event) -> None:
        """Keep the queue full until `over` is set. What is not confirmed is sent again under the same id."""
        with Celery(broker=self.broker_url, set_as_current=False) as client:
            if not is_redis(self.broker_url):
                client.conf.update(QUORUM)
            while not over.is_set():
                try:
                    if self.waiting() >= BACKLOG:
                        over.wait(0.05)
                        continue
                    for at in range(BURST):
                        job_id = str(uuid4())
                        self.send(client, job_id, at)
                        self.result.sent.append(job_id)
                except CONNECTION_ERRORS:
                    over.wait(0.2)

    def send(self, client: Celery, job_id: str, at: int) -> None:
        """Send one message; raises what kombu raises while the broker is away."""
        client.send_task("jobs.submit", kwargs={"url": f"http://target.invalid/{at}"}, task_id=job_id)

    def waiting(self) -> int:
        """Messages in the queue."""
        with Connection(self.broker_url, connect_timeout=5) as connection:
            try:
                return int(connection.default_channel.queue_declare(queue=INTAKE, passive=True).message_count)
            except connection.channel_errors:
                # It is not declared yet.
                return 0

    def kill(self, kills: int, workers: int) -> None:
        """Let `kills` workers die, `workers` of them at a time, at all the crash points in turn."""
        numbers, lock, failures = count(), threading.Lock(), list[str]()
        points = tuple(CRASH_POINTS) if is_redis(self.broker_url) else TASK_CRASH_POINTS

        def slot() -> None:
            while not failures:
                with lock:
                    number = next(numbers)
                    point = points[number % len(points)]
                    after = self.draw.randrange(MAX_MILLISECONDS if point == "any" else MAX_PASSES)
                if number >= kills:
                    return
                with self.worker(CRASH_AT=point, CRASH_AFTER=str(after)) as process:
                    try:
                        if (ended := process.wait(DEAD_WITHIN_SECONDS)) != -signal.SIGKILL:
                            failures.append(f"a worker that was to die at `{point}` ended with {ended}")
                    except subprocess.TimeoutExpired:
                        failures.append(f"a worker did not reach `{point}`")
                with lock:
                    self.result.kills[point] += 1

        slots = [threading.Thread(target=slot) for _ in range(workers)]
        for thread in slots:
            thread.start()
        for thread in slots:
            thread.join()
        assert not failures, failures

    def settle(self) -> None:
        """Let healthy workers take what is left; then count what is lost."""
        # A worker sweeps when it starts and then every 10 s.
        until(
            lambda: not self.redis.zcount("unacked_index", time.time() - VISIBILITY_SECONDS, "+inf"),
            "what dead workers held is visible again",
        )
        with self.worker(), self.worker():
            until(
                lambda: self.waiting() + self.held() == 0,
                "every message taken and acknowledged",
                SETTLED_WITHIN_SECONDS,
            )
            # RabbitMQ does not show what a worker holds before it has ended.
            end = time.monotonic() + RECORDED_WITHIN_SECONDS
            while self.unrecorded() and time.monotonic() < end:
                time.sleep(0.1)
        self.result.left = self.waiting() + self.held()
        self.result.lost = self.unrecorded()

    def unrecorded(self) -> list[str]:
        """Messages whose job is not in the ledger."""
        store = JobStore(self.redis, job_limits())
        return [job_id for job_id in self.result.sent if store.get(job_id) is None]

    def held(self) -> int:
        """Messages on the Redis broker that workers have taken and not acknowledged."""
        return max(self.redis.hlen("unacked"), self.redis.zcard("unacked_index"))

    @contextmanager
    def worker(self, **crash: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process while the block runs; `crash` are variables of `crashing_worker`."""
        line = [
            sys.executable,
            "-m",
            "celery",
            "--quiet",
            "-A",
            "tests.chaos.intake.crashing_worker",
            "worker",
            "--without-gossip",
            "--without-mingle",
        ]
        line += ["-n", f"crashing-{self.draw.getrandbits(32):x}@%h"]
        environment = {
            **clean_environ(),
            **FAST,
            "LONGHAUL_REDIS_URL": self.redis_url,
            "LONGHAUL_BROKER_URL": self.broker_url,
        }
        process = subprocess.Popen(
            line, cwd=ROOT, env={**environment, "CRASH_TRANSPORT": self.transport, **crash}, stdout=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def intake_run(transport: str, seed: int, broker_url: str = "") -> Iterator[IntakeRun]:
    """Start a server, the broker too unless one is named, and a client that sends while the block runs. At the end let
    healthy workers finish. `transport`: `ours` or `stock`.
    """
    began, over = time.monotonic(), threading.Event()
    with serving(free_port()) as redis_url:
        draw = random.Random(seed)  # noqa: S311  (repeatable)
        run = IntakeRun(redis_url, broker_url or redis_url, connect(redis_url), transport, draw)
        client = threading.Thread(target=run.send_until, args=(over,))
        client.start()
        try:
            yield run
        finally:
            over.set()
            client.join()
        run.settle()
        run.redis.close()
    run.result.seconds = time.monotonic() - began
