"""Kill busy workers, again and again, and see whether a submission is lost: `python -m tests.chaos.intake [--kills N] [--transport stock]`.

Each worker is told where to die, all points in turn, while a caller sends more than the workers take. At the end healthy ones take what
is left, and each message that was sent must have its record in the ledger; ends with 1 where one has not. With kombu's own transport some
have not: the test can fail.
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

from celery import Celery
from redis import Redis

from config.queues import INTAKE
from jobs.store import JobStore, Limits
from ledger.connection import connect
from tests.conftest import free_port
from tests.installation import ROOT, clean_environ, until
from workers.embedded import serving

POINTS = {
    "asked": "a message is asked for, its answer not read",
    "answered": "the answer is read, and Celery does not have it",
    "recorded": "Celery has it",
    "begun": "its task begins",
    "done": "its task has ended",
    "acknowledging": "its acknowledgement is not sent",
    "any": "at no point in particular",
}
BACKLOG = 300
MOST_PASSED = 40
MOST_MILLISECONDS = 300
DIES_WITHIN = 90.0
SETTLES_WITHIN = 180.0
FAST = {
    "LONGHAUL_API_KEY": "k",
    # Nobody is there: jobs are recorded, and that is all.
    "LONGHAUL_ASYNC_URL": "http://127.0.0.1:9",
    "LONGHAUL_HTTP_TIMEOUT": "1",
    "LONGHAUL_BATCH_TIMEOUT": "2",
    "LONGHAUL_LEASE": "3",
    # Longer than a worker lives after it took a message, so that the sweep is in use all the time.
    "LONGHAUL_VISIBILITY_TIMEOUT": "4",
    "LONGHAUL_LOG_LEVEL": "ERROR",
}


@dataclass
class Tally:
    """What was done, and what came of it. `lost`: ids without a record; `left`: messages that nobody took or acknowledged."""

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
    redis: Redis
    transport: str
    draw: random.Random
    tally: Tally = field(default_factory=Tally)

    def send_until(self, over: threading.Event) -> None:
        """Keep the queue full, as any caller does."""
        with Celery(broker=self.redis_url, set_as_current=False) as caller:
            while not over.is_set():
                if self.redis.llen(INTAKE) >= BACKLOG:
                    time.sleep(0.01)
                    continue
                for at in range(100):
                    self.tally.sent.append(caller.send_task("jobs.submit", kwargs={"url": f"http://target.invalid/{at}"}).id)

    def kill(self, kills: int, workers: int) -> None:
        """Let `kills` workers die, `workers` at once, at all the points in turn."""
        numbers, lock, faults = count(), threading.Lock(), []

        def slot() -> None:
            while not faults:
                with lock:
                    number = next(numbers)
                    point = list(POINTS)[number % len(POINTS)]
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
        with self.worker(), self.worker():
            until(self.nothing_waits, "every message taken and acknowledged", SETTLES_WITHIN)
        store = JobStore(self.redis, Limits())
        self.tally.left = self.redis.llen(INTAKE) + self.redis.hlen("unacked")
        self.tally.lost = [job_id for job_id in self.tally.sent if store.get(job_id) is None]

    def nothing_waits(self) -> bool:
        """No message is in its queue, none is with a worker."""
        return not self.redis.llen(INTAKE) and not self.redis.hlen("unacked") and not self.redis.zcard("unacked_index")

    @contextmanager
    def worker(self, **doom: str) -> Iterator[subprocess.Popen[bytes]]:
        """One worker process while the block runs."""
        line = [sys.executable, "-m", "celery", "--quiet", "-A", "tests.chaos.doomed", "worker", "--without-gossip", "--without-mingle"]
        line += ["-n", f"doomed-{self.draw.getrandbits(32):x}@%h"]
        environment = {**clean_environ(), **FAST, "LONGHAUL_REDIS_URL": self.redis_url, "DOOM_TRANSPORT": self.transport, **doom}
        process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def kill_workers(transport: str, kills: int, workers: int, seed: int) -> Tally:
    """Run it all on a server of its own. `transport`: `ours` or `stock`."""
    began, over = time.monotonic(), threading.Event()
    with serving(free_port()) as redis_url:
        yard = Yard(redis_url, connect(redis_url), transport, random.Random(seed))  # noqa: S311  (repeatable)
        caller = threading.Thread(target=yard.send_until, args=(over,))
        caller.start()
        try:
            yard.kill(kills, workers)
        finally:
            over.set()
            caller.join()
        yard.settle()
        yard.redis.close()
    yard.tally.seconds = time.monotonic() - began
    return yard.tally


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.intake", description=__doc__)
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument("--workers", type=int, default=max(2, os.cpu_count() or 2), help="how many live at once")
    parser.add_argument("--transport", choices=("ours", "stock"), default="ours")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    sys.stderr.write(f"seed {chosen.seed}\n")
    tally = kill_workers(chosen.transport, chosen.kills, chosen.workers, chosen.seed)
    sys.stdout.write(f"{tally.table(chosen.transport, chosen.seed)}\n")
    return 1 if tally.lost or tally.left else 0


if __name__ == "__main__":
    sys.exit(main())
