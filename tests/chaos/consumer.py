"""A consumer of results that may be killed at any time: `python -m tests.chaos.consumer QUEUE FOLDER`.

It appends what it has read to a journal, then acknowledges it. Killed in between, it reads the same entries again:
delivery is at least once. Each line has the entry's own id, so an envelope that is in the stream twice differs from an
entry that was read twice.
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

IDLE_SECONDS = 4.0
RETRY_SECONDS = 0.3
FIELDS = ("id", "kind", "status", "url", "meta", "statusCode", "failReason", "submissions", "submittedAt", "finishedAt")
CRAWL_FIELDS = ("crawlId", "done", "failed", "received", "missing", "note")


def summary_of(entry: Entry) -> dict[str, Any]:
    """What the checker needs of an entry."""
    envelope = entry.envelope
    kept = {key: envelope[key] for key in FIELDS + CRAWL_FIELDS if key in envelope}
    body = envelope.get("base64EncodedBody", envelope.get("body"))
    return {"entry": entry.id, **kept} | ({} if body is None else {"digest": digest(body)})


def consume(reader: Reader, journal: int) -> None:
    """Read once: what a killed consumer left pending, then what is new."""
    for entries in (reader.take_over(IDLE_SECONDS), reader.read(block=0.5)):
        if entries:
            os.write(journal, "".join(f"{json.dumps(summary_of(entry))}\n" for entry in entries).encode())
            reader.acknowledge(entries)


def main() -> None:
    """Consume until killed."""
    queue, folder = sys.argv[1], Path(sys.argv[2])
    # A journal for each process: one that is killed while it writes spoils no line of another.
    journal = os.open(folder / f"{queue}.{os.getpid()}.{time.monotonic_ns()}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    reader = None
    redis = connect(os.environ["LONGHAUL_REDIS_URL"])
    while True:
        try:
            reader = reader or Reader(redis, queue, "chaos", f"{os.getpid()}")
            consume(reader, journal)
        except RedisError:
            time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    main()
