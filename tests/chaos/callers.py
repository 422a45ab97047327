"""Callers: they send the cargo as any service does, `send_task` and nothing else, and cancel some of it. They never
give up.
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
from tests.chaos.workload import Cargo, Crawl, Job

THREADS = 2
AGAIN = 0.3
# A caller does not hang either.
BRIEFLY = {"max_retries": 1, "interval_start": 0.1}
QUICK = {"socket_timeout": 5, "socket_connect_timeout": 2}


@dataclass
class Callers:
    """`seconds`: over how long the cargo is sent. `sent_again`: messages whose sending failed, so that they went out
    once more.
    """

    redis_url: str
    redis: Redis
    cargo: Cargo
    seconds: float
    sent: int = 0
    sent_again: int = 0
    _waiting: SimpleQueue[tuple[float, list[Job] | Crawl]] = field(default_factory=SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)
    _mine: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        self._app = Celery(broker=self.redis_url, set_as_current=False)

    def start(self) -> None:
        """Begin to send."""
        began, count = time.monotonic(), max(1, len(self.cargo.shipments))
        for at, shipment in enumerate(self.cargo.shipments):
            self._waiting.put((began + self.seconds * at / count, shipment))
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(THREADS)]
        self._threads.append(threading.Thread(target=self._cancel_all, daemon=True))
        for thread in self._threads:
            thread.start()

    def finish(self, within: float) -> bool:
        """Wait until everything is sent; whether it is."""
        end = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _send_all(self) -> None:
        while True:
            try:
                due, shipment = self._waiting.get_nowait()
            except Empty:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            self._send(*_message(shipment))
            self.sent += 1

    def _cancel_all(self) -> None:
        doomed: list[tuple[str, str, str]] = [
            (f"{JOBS}:record:{job.id}", "jobs.cancel", job.id) for job in self.cargo.jobs if job.kind.cancel
        ]
        doomed += [
            (f"{CRAWLS}:record:{crawl.id}", "crawls.cancel", crawl.id)
            for crawl in self.cargo.crawls
            if crawl.site.cancel
        ]
        while doomed:
            for one in tuple(doomed):
                record, task, id_ = one
                if self._is_there(record):
                    self._send(task, {"job_id" if task == "jobs.cancel" else "crawl_id": id_}, f"cancel-{id_}")
                    doomed.remove(one)
            time.sleep(AGAIN)

    def _is_there(self, record: str) -> bool:
        try:
            return bool(self.redis.exists(record))
        except RedisError:
            return False

    def _send(self, task: str, arguments: dict[str, object], task_id: str) -> None:
        while True:
            try:
                self._app.send_task(
                    task, kwargs=arguments, task_id=task_id, connection=self._connection(), retry_policy=BRIEFLY
                )
            except (KombuError, RedisError, OSError, AttributeError):
                # Whether it got through, nobody knows: under the same id it is one job. AttributeError: kombu's, of a
                # channel that is closed.
                self.sent_again += 1
                with suppress(KombuError, RedisError, OSError, AttributeError):
                    self._mine.connection.close()
                del self._mine.connection
                time.sleep(AGAIN)
            else:
                return

    def _connection(self) -> Connection:
        """This thread's own; a new one after each failure."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = Connection(self.redis_url, transport_options=QUICK)
        return self._mine.connection


def _message(shipment: Sequence[Job] | Crawl) -> tuple[str, dict[str, object], str]:
    if isinstance(shipment, Crawl):
        return "crawls.create", shipment.arguments, shipment.id
    first = shipment[0]
    if first.id == first.batch:
        return "jobs.submit", {"url": first.url, **first.arguments}, first.id
    return "jobs.submit_batch", {"requests": [{"url": job.url, **job.arguments} for job in shipment]}, first.batch
