"""A consumer of results as an application has one, made to be killed: `python -m tests.chaos.consumer QUEUE NOTEBOOK`.

It writes down what it has read, then acknowledges it. Killed in between, it reads the same entries again: at least once
is what is promised. Each entry is written down with its own id, so that what was *in the stream* twice is told from
what was *read* twice.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from longhaul.ledger.connection import connect
from longhaul.ledger.results import Entry, Reader
from tests.chaos.workload import digest

IDLE = 4.0
AGAIN = 0.3
KEPT = ("id", "kind", "status", "url", "meta", "statusCode", "failReason", "submissions", "submittedAt", "finishedAt")
KEPT_OF_CRAWLS = ("crawlId", "done", "failed", "received", "missing", "note")


def note_of(entry: Entry) -> dict[str, Any]:
    """What the verdict needs of an entry."""
    envelope = entry.envelope
    noted = {key: envelope[key] for key in KEPT + KEPT_OF_CRAWLS if key in envelope}
    body = envelope.get("base64EncodedBody", envelope.get("body"))
    return {"entry": entry.id, **noted} | ({} if body is None else {"digest": digest(body)})


def consume(reader: Reader, notebook: int) -> None:
    """One round: what another left behind, then what is new."""
    for entries in (reader.take_over(IDLE), reader.read(block=0.5)):
        if entries:
            os.write(notebook, "".join(f"{json.dumps(note_of(entry))}\n" for entry in entries).encode())
            reader.acknowledge(entries)


def main() -> None:
    """Consume until killed."""
    queue, folder = sys.argv[1], Path(sys.argv[2])
    # Each has a notebook of its own: one that is killed while it writes spoils no other's line.
    notebook = os.open(folder / f"{queue}.{os.getpid()}.{time.monotonic_ns()}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    reader = None
    redis = connect(os.environ["LONGHAUL_REDIS_URL"])
    while True:
        try:
            reader = reader or Reader(redis, queue, "chaos", f"{os.getpid()}")
            consume(reader, notebook)
        except RedisError:
            time.sleep(AGAIN)


if __name__ == "__main__":
    main()
