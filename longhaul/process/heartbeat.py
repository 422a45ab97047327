"""The heartbeat of a worker process, for its health check: a file touched with every heartbeat of Celery's, as long as
none of the worker's tasks is stuck.

Celery's heartbeat comes from the loop that also receives messages, and goes out through the broker's connection. A
worker answers `inspect ping` even where all of its threads hang.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.signals import heartbeat_sent
from celery.worker.state import active_requests


def write_heartbeats(file: Path | None, longest: float) -> None:
    """Touch `file` at each heartbeat of this worker, as long as none of its tasks has run for `longest` seconds."""
    if file is None:
        return

    def beat(**_: Any) -> None:
        # Threads may change the set while it is read; the next heartbeat comes in two seconds.
        with suppress(RuntimeError):
            began = [request.time_start for request in active_requests if request.time_start]
            if time.time() - min(began, default=time.time()) < longest:
                file.touch()

    heartbeat_sent.connect(beat, weak=False)
