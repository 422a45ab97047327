"""Enqueue scraping jobs from any service: Celery and the broker's address, nothing of Longhaul's. URLs are read from
stdin, ids go to stdout.
"""

import os
import sys

from celery import Celery

app = Celery(broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])
for url in sys.stdin.read().split():
    job = app.send_task("jobs.submit", kwargs={"url": url, "meta": {"from": "examples/enqueue.py"}})
    print(job.id)
