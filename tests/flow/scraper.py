"""A remote that speaks the contract at its strictest: the first reading of a result deletes it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.wire import Ask, Reply, as_json


@dataclass
class Scraper:
    """`polls`: how many polls of a job find it running. `before`: asked first; what it answers goes out instead."""

    polls: int = 1
    before: Callable[[Ask], Reply | None] = lambda _: None
    jobs: dict[str, tuple[str, int]] = field(default_factory=dict)
    posts: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    deletes: Counter[str] = field(default_factory=Counter)
    documents: list[dict] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    serial: int = 0

    def __call__(self, ask: Ask) -> Reply:
        reply = self.before(ask)
        if reply is not None:
            return reply
        with self.lock:
            if ask.method == "POST":
                return self.post(ask)
            remote_id = ask.path.rpartition("/")[2]
            if remote_id not in self.jobs:
                return Reply(404, b"Job not found")
            return self.get(remote_id) if ask.method == "GET" else self.delete(remote_id)

    def post(self, ask: Ask) -> Reply:
        self.serial += 1
        remote_id, url = f"remote-{self.serial}", ask.document["url"]
        self.posts[url] += 1
        self.documents.append(ask.document)
        self.jobs[remote_id] = (url, self.polls)
        return as_json({"id": remote_id, "status": "running", "statusUrl": f"http://x/jobs/{remote_id}", "url": url})

    def get(self, remote_id: str) -> Reply:
        url, polls = self.jobs[remote_id]
        if polls:
            self.jobs[remote_id] = (url, polls - 1)
            return as_json({"id": remote_id, "status": "running", "url": url, "attempts": 1})
        del self.jobs[remote_id]
        self.reads[url] += 1
        return as_json(result(remote_id, url))

    def delete(self, remote_id: str) -> Reply:
        url, _ = self.jobs.pop(remote_id)
        self.deletes[url] += 1
        return as_json({"id": remote_id, "status": "cancelled", "url": url})


def result(remote_id: str, url: str) -> dict:
    """The document of a finished job: from the status URL, or pushed."""
    return {
        "id": remote_id,
        "status": "finished",
        "url": url,
        "response": {"headers": {"sa-statuscode": "200"}, "body": f"body of {url}", "statusCode": 200, "credits": 1},
    }
