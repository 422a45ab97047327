"""Enqueue scraping jobs from any service: Celery and the broker's address, nothing of Longhaul's. URLs are read from
stdin, ids go to stdout.
"""

import os
import sys

from celery import Celery

BROKER = os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0")
app = Celery(broker=BROKER, backend=BROKER)


def main() -> None:
    """Submit one job for each URL."""
    for url in sys.stdin.read().split():
        job = app.send_task("jobs.submit", kwargs={"url": url, "meta": {"from": "examples/enqueue.py"}})
        print(job.id)


main()
