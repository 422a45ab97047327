"""The pulse of a worker process, for its health check: a file touched with every heartbeat, as long as no task of it is
stuck.

A heartbeat comes from Celery's own loop, which also takes the messages, and goes out through the broker's connection. A
worker that is asked (`inspect ping`) answers even where its threads all hang.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.signals import heartbeat_sent
from celery.worker.state import active_requests


def write_heartbeats(file: Path | None, longest: float) -> None:
    """Touch `file` at each heartbeat of this process's worker while none of its tasks is older than `longest` seconds."""
    if file is None:
        return

    def beat(**_: Any) -> None:
        # The threads add to the set while it is read; the next heartbeat is near.
        with suppress(RuntimeError):
            began = [request.time_start for request in active_requests if request.time_start]
            if time.time() - min(began, default=time.time()) < longest:
                file.touch()

    heartbeat_sent.connect(beat, weak=False)
