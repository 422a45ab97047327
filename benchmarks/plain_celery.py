"""The same errand in plain Celery, as one would write it first: a task that submits, a task that looks and retries with
a countdown.

Celery's defaults throughout, one kept connection a thread, no result backend, results on a Redis list.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import requests
from celery import Celery, Task
from redis import Redis

REMOTE = os.environ.get("PLAIN_REMOTE", "")
BROKER = os.environ.get("PLAIN_BROKER", "")
RESULTS = "plain:results"
COUNTDOWN = 2

app = Celery("plain", broker=BROKER)
kept = threading.local()


def session() -> requests.Session:
    """The session of this thread; a `requests.Session` is not for several threads at once."""
    if not hasattr(kept, "session"):
        kept.session = requests.Session()
    return kept.session


def results() -> Redis:
    if not hasattr(kept, "redis"):
        kept.redis = Redis.from_url(BROKER)
    return kept.redis


@app.task(name="plain.submit")
def submit(url: str) -> None:
    answer = session().post(f"{REMOTE}/jobs", json={"apiKey": "k", "url": url}, timeout=60)
    answer.raise_for_status()
    look.delay(answer.json()["id"], url)


@app.task(name="plain.look", bind=True, max_retries=None)
def look(self: Task[..., Any], remote_id: str, url: str) -> None:
    answer = session().get(f"{REMOTE}/jobs/{remote_id}", params={"api_key": "k"}, timeout=60)
    answer.raise_for_status()
    job = answer.json()
    if job["status"] == "running":
        raise self.retry(countdown=COUNTDOWN)
    envelope = {"id": remote_id, "status": job["status"], "url": url, **job["response"]}
    results().rpush(RESULTS, json.dumps(envelope))
