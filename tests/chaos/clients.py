"""Clients that send the workload with `send_task`, as any service does, and cancel some of it. They retry until each
message is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from longhaul.crawls.store import SPACE as CRAWLS
from longhaul.jobs.store import SPACE as JOBS
from tests.chaos.workload import Crawl, Job, Workload

THREADS = 2
RETRY_SECONDS = 0.3
# A client does not hang either.
RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1}
SOCKET_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2}


@dataclass
class Clients:
    """Threads that send `workload` evenly over `seconds`. `resent`: messages that were sent again after an error."""

    redis_url: str
    redis: Redis
    workload: Workload
    seconds: float
    sent: int = 0
    resent: int = 0
    _queue: SimpleQueue[tuple[float, list[Job] | Crawl]] = field(default_factory=SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)
    _local: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        self._app = Celery(broker=self.redis_url, set_as_current=False)

    def start(self) -> None:
        """Start sending."""
        began, count = time.monotonic(), max(1, len(self.workload.messages))
        for at, message in enumerate(self.workload.messages):
            self._queue.put((began + self.seconds * at / count, message))
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(THREADS)]
        self._threads.append(threading.Thread(target=self._cancel_all, daemon=True))
        for thread in self._threads:
            thread.start()

    def finish(self, within: float) -> bool:
        """Wait until everything is sent, at most `within` seconds; whether it is."""
        end = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _send_all(self) -> None:
        while True:
            try:
                due, message = self._queue.get_nowait()
            except Empty:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            self._send(*_message(message))
            self.sent += 1

    def _cancel_all(self) -> None:
        waiting: list[tuple[str, str, str]] = [
            (f"{JOBS}:record:{job.id}", "jobs.cancel", job.id) for job in self.workload.jobs if job.kind.cancel
        ]
        waiting += [
            (f"{CRAWLS}:record:{crawl.id}", "crawls.cancel", crawl.id)
            for crawl in self.workload.crawls
            if crawl.kind.cancel
        ]
        while waiting:
            for one in tuple(waiting):
                record, task, id_ = one
                if self._exists(record):
                    self._send(task, {"job_id" if task == "jobs.cancel" else "crawl_id": id_}, f"cancel-{id_}")
                    waiting.remove(one)
            time.sleep(RETRY_SECONDS)

    def _exists(self, record: str) -> bool:
        try:
            return bool(self.redis.exists(record))
        except RedisError:
            return False

    def _send(self, task: str, arguments: dict[str, object], task_id: str) -> None:
        while True:
            try:
                self._app.send_task(
                    task, kwargs=arguments, task_id=task_id, connection=self._connection(), retry_policy=RETRY_POLICY
                )
            except (KombuError, RedisError, OSError, AttributeError):
                # It may have arrived: under the same id it is one job. AttributeError: kombu's, for a closed channel.
                self.resent += 1
                with suppress(KombuError, RedisError, OSError, AttributeError):
                    self._local.connection.close()
                del self._local.connection
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _connection(self) -> Connection:
        """This thread's connection; a new one after each failure."""
        if not hasattr(self._local, "connection"):
            self._local.connection = Connection(self.redis_url, transport_options=SOCKET_OPTIONS)
        return self._local.connection


def _message(message: Sequence[Job] | Crawl) -> tuple[str, dict[str, object], str]:
    if isinstance(message, Crawl):
        return "crawls.create", message.arguments, message.id
    first = message[0]
    if first.id == first.batch:
        return "jobs.submit", {"url": first.url, **first.arguments}, first.id
    return "jobs.submit_batch", {"requests": [{"url": job.url, **job.arguments} for job in message]}, first.batch
