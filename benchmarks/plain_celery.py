"""The same work in plain Celery, as one would write it first: a task that submits, and a task that polls and retries
with a countdown.

Celery's defaults, one HTTP session for each thread, no result backend, results in a Redis list.
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
COUNTDOWN_SECONDS = 2

app = Celery("plain", broker=BROKER)
local = threading.local()


def session() -> requests.Session:
    """The session of the current thread; a `requests.Session` can't be shared between threads."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
    return local.session


def results() -> Redis:
    if not hasattr(local, "redis"):
        local.redis = Redis.from_url(BROKER)
    return local.redis


@app.task(name="plain.submit")
def submit(url: str) -> None:
    answer = session().post(f"{REMOTE}/jobs", json={"apiKey": "k", "url": url}, timeout=60)
    answer.raise_for_status()
    poll.delay(answer.json()["id"], url)


@app.task(name="plain.poll", bind=True, max_retries=None)
def poll(self: Task[..., Any], remote_id: str, url: str) -> None:
    answer = session().get(f"{REMOTE}/jobs/{remote_id}", params={"api_key": "k"}, timeout=60)
    answer.raise_for_status()
    job = answer.json()
    if job["status"] == "running":
        raise self.retry(countdown=COUNTDOWN_SECONDS)
    envelope = {"id": remote_id, "status": job["status"], "url": url, **job["response"]}
    results().rpush(RESULTS, json.dumps(envelope))
