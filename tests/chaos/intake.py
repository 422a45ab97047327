"""Kill busy workers, again and again, and see whether a submission is lost: `python -m tests.chaos.intake [--kills N]
[--transport stock]`.

Each worker is told where to die, all points in turn, while a caller sends more than the workers take. At the end
healthy ones take what is left, and each message that was sent must have its record in the ledger; ends with 1 where one
has not. With kombu's own transport some have not: the test can fail.
"""

from __future__ import annotations

import argparse
import os
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

from config.celery_settings import INTAKE, is_redis
from longhaul.jobs.store import JobStore
from longhaul.ledger.connection import connect
from tests.builders import job_limits
from tests.conftest import free_port
from tests.installation import ROOT, clean_environ, until
from workers.local.embedded_server import serving

QUORUM = {"task_default_queue_type": "quorum", "broker_transport_options": {"confirm_publish": True}}
"""What a caller has to say for RabbitMQ."""
POINTS = {
    "asked": "a message is asked for, its answer not read",
    "answered": "the answer is read, and Celery does not have it",
    "recorded": "Celery has it",
    "begun": "its task begins",
    "done": "its task has ended",
    "acknowledging": "its acknowledgement is not sent",
    "any": "at no point in particular",
}
WITHOUT_TRANSPORT = ("begun", "done", "any")
"""Points that are not in the transport."""
BACKLOG = 300
BURST = 100
CONNECTION_ERRORS = (KombuError, OSError, AMQPError, RedisError)
MOST_PASSED = 40
MOST_MILLISECONDS = 300
DIES_WITHIN = 90.0
SETTLES_WITHIN = 180.0
RECORDED_WITHIN = 15.0
VISIBILITY = 4
FAST = {
    "LONGHAUL_API_KEY": "k",
    # Nobody is there: jobs are recorded, and that is all.
    "LONGHAUL_ASYNC_URL": "http://127.0.0.1:9",
    "LONGHAUL_HTTP_TIMEOUT": "1",
    "LONGHAUL_BATCH_TIMEOUT": "2",
    "LONGHAUL_LEASE": "3",
    "LONGHAUL_VISIBILITY_TIMEOUT": str(VISIBILITY),
    "LONGHAUL_LOG_LEVEL": "ERROR",
}


@dataclass
class Tally:
    """What was done, and what came of it. `lost`: ids without a record; `left`: messages that nobody took or
    acknowledged.
    """

    kills: Counter[str] = field(default_factory=Counter)
    sent: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: int = 0
    seconds: float = 0.0

    def table(self, transport: str, seed: int) -> str:
        """For people."""
        rows = [f"  {point:<14}{self.kills[point]:>5}   {words}" for point, words in POINTS.items()]
        head = f"transport {transport}, seed {seed}: {self.kills.total()} kills in {self.seconds:.0f} s"
        return "\n".join([head, *rows, f"  messages {len(self.sent)}, left {self.left}, lost {len(self.lost)}"])


@dataclass
class Yard:
    """A server with a caller and doomed workers."""

    redis_url: str
    broker_url: str
    redis: Redis
    transport: str
    draw: random.Random
    tally: Tally = field(default_factory=Tally)

    def send_until(self, over: threading.Event) -> None:
        """Keep the queue full, as any caller does: what the broker has not confirmed is sent again under its id."""
        with Celery(broker=self.broker_url, set_as_current=False) as caller:
            if not is_redis(self.broker_url):
                caller.conf.update(QUORUM)
            while not over.is_set():
                try:
                    if self.waiting() >= BACKLOG:
                        over.wait(0.05)
                        continue
                    for at in range(BURST):
                        job_id = str(uuid4())
                        self.send(caller, job_id, at)
                        self.tally.sent.append(job_id)
                except CONNECTION_ERRORS:
                    over.wait(0.2)

    def send(self, caller: Celery, job_id: str, at: int) -> None:
        """One message; raises what kombu raises where the broker stays away."""
        caller.send_task("jobs.submit", kwargs={"url": f"http://target.invalid/{at}"}, task_id=job_id)

    def waiting(self) -> int:
        """Messages in the queue."""
        with Connection(self.broker_url, connect_timeout=5) as connection:
            try:
                return int(connection.default_channel.queue_declare(queue=INTAKE, passive=True).message_count)
            except connection.channel_errors:
                # Nobody has declared it yet.
                return 0

    def kill(self, kills: int, workers: int) -> None:
        """Let `kills` workers die, `workers` at once, at all the points in turn."""
        numbers, lock, faults = count(), threading.Lock(), []
        points = tuple(POINTS) if is_redis(self.broker_url) else WITHOUT_TRANSPORT

        def slot() -> None:
            while not faults:
                with lock:
                    number = next(numbers)
                    point = points[number % len(points)]
                    after = self.draw.randrange(MOST_MILLISECONDS if point == "any" else MOST_PASSED)
                if number >= kills:
                    return
                with self.worker(DOOM_AT=point, DOOM_AFTER=str(after)) as process:
                    try:
                        if (ended := process.wait(DIES_WITHIN)) != -signal.SIGKILL:
                            faults.append(f"a worker that was to die at `{point}` ended with {ended}")
                    except subprocess.TimeoutExpired:
                        faults.append(f"a worker did not come to `{point}`")
                with lock:
                    self.tally.kills[point] += 1

        slots = [threading.Thread(target=slot) for _ in range(workers)]
        for thread in slots:
            thread.start()
        for thread in slots:
            thread.join()
        assert not faults, faults

    def settle(self) -> None:
        """Healthy workers take what is left; then count."""
        # A worker sweeps when it starts, and next 10 s later.
        until(
            lambda: not self.redis.zcount("unacked_index", time.time() - VISIBILITY, "+inf"),
            "an end of what dead workers held",
        )
        with self.worker(), self.worker():
            until(lambda: self.waiting() + self.held() == 0, "every message taken and acknowledged", SETTLES_WITHIN)
            # RabbitMQ does not show what a worker holds before it has ended.
            end = time.monotonic() + RECORDED_WITHIN
            while self.unrecorded() and time.monotonic() < end:
                time.sleep(0.1)
        self.tally.left = self.waiting() + self.held()
        self.tally.lost = self.unrecorded()

    def unrecorded(self) -> list[str]:
        """Messages whose job is not in the ledger."""
        store = JobStore(self.redis, job_limits())
        return [job_id for job_id in self.tally.sent if store.get(job_id) is None]

    def held(self) -> int:
        """Messages on the Redis broker that workers have taken and not acknowledged."""
        return max(self.redis.hlen("unacked"), self.redis.zcard("unacked_index"))

    @contextmanager
    def worker(self, **doom: str) -> Iterator[subprocess.Popen[bytes]]:
        """One worker process while the block runs."""
        line = [
            sys.executable,
            "-m",
            "celery",
            "--quiet",
            "-A",
            "tests.chaos.doomed",
            "worker",
            "--without-gossip",
            "--without-mingle",
        ]
        line += ["-n", f"doomed-{self.draw.getrandbits(32):x}@%h"]
        environment = {
            **clean_environ(),
            **FAST,
            "LONGHAUL_REDIS_URL": self.redis_url,
            "LONGHAUL_BROKER_URL": self.broker_url,
        }
        process = subprocess.Popen(
            line, cwd=ROOT, env={**environment, "DOOM_TRANSPORT": self.transport, **doom}, stdout=subprocess.DEVNULL
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
def yard(transport: str, seed: int, broker_url: str = "") -> Iterator[Yard]:
    """A ledger, the broker as well where none is named, and a caller that sends while the block runs. `transport`:
    `ours` or `stock`.
    """
    began, over = time.monotonic(), threading.Event()
    with serving(free_port()) as redis_url:
        it = Yard(redis_url, broker_url or redis_url, connect(redis_url), transport, random.Random(seed))  # noqa: S311  (repeatable)
        caller = threading.Thread(target=it.send_until, args=(over,))
        caller.start()
        try:
            yield it
        finally:
            over.set()
            caller.join()
        it.settle()
        it.redis.close()
    it.tally.seconds = time.monotonic() - began


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.intake", description=__doc__)
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument("--workers", type=int, default=max(2, os.cpu_count() or 2), help="how many live at once")
    parser.add_argument("--transport", choices=("ours", "stock"), default="ours")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    sys.stderr.write(f"seed {chosen.seed}\n")
    with yard(chosen.transport, chosen.seed) as busy:
        busy.kill(chosen.kills, chosen.workers)
    sys.stdout.write(f"{busy.tally.table(chosen.transport, chosen.seed)}\n")
    return 1 if busy.tally.lost or busy.tally.left else 0


if __name__ == "__main__":
    sys.exit(main())
