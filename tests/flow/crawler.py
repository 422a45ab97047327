"""A remote that crawls: it says that a crawl has so many pages, and gives their events when a test asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.wire import Ask, Reply, as_json


@dataclass
class Crawler:
    """`pages`: how many each crawl has. `before`: asked first; what it answers goes out instead."""

    pages: int = 3
    before: Callable[[Ask], Reply | None] = lambda _: None
    running: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    orders: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, ask: Ask) -> Reply:
        self.asked[ask.method] += 1
        reply = self.before(ask)
        if reply is not None:
            return reply
        if ask.method == "POST":
            return self.post(ask.document)
        remote_id = ask.path.split("/")[2]
        if remote_id not in self.running and remote_id not in self.ended:
            return as_json({"status": "error", "statusCode": 404, "error": "no such job"}, 404)
        return self.progress(remote_id) if ask.method == "GET" else self.delete(remote_id)

    def post(self, order: dict[str, Any]) -> Reply:
        self.orders.append(order)
        remote_id = f"remote-{len(self.orders)}"
        if order.get("enabled", True):
            self.running[remote_id] = events(remote_id, order["start_url"], self.pages)
        return as_json({"status": "initiated", "jobId": remote_id})

    def progress(self, remote_id: str) -> Reply:
        waiting = len(self.running.get(remote_id, []))
        done = self.pages - max(0, waiting - 1)
        state = "running" if remote_id in self.running else "delivered"
        return as_json(
            {
                "crawler_job_id": remote_id,
                "done": done,
                "failed": 0,
                "active": max(0, waiting - 1),
                "status": state,
                "jobCost": done,
            }
        )

    def delete(self, remote_id: str) -> Reply:
        self.running.pop(remote_id, None)
        self.ended.add(remote_id)
        return as_json({"status": "OK", "message": f"Job ID: {remote_id} has been cancelled"})

    def undelivered(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each event of each running crawl that nobody has taken yet; `delivered` says that somebody has."""
        for remote_id in list(self.running):
            for event in list(self.running.get(remote_id, [])):
                yield remote_id, event

    def delivered(self, remote_id: str, event: dict[str, Any]) -> None:
        """The receiver has answered 2xx."""
        left = self.running.get(remote_id, [])
        if event in left:
            left.remove(event)
        if remote_id in self.running and not left:
            del self.running[remote_id]
            self.ended.add(remote_id)


def events(remote_id: str, start_url: str, pages: int, **more: Any) -> list[dict[str, Any]]:
    """The pages of a crawl, and its summary."""
    pages = [page(remote_id, f"{start_url}{at}", depth=min(at, 1), **more) for at in range(pages)]
    return [*pages, summary(remote_id, [event["url"] for event in pages], **more)]


def page(remote_id: str, url: str, depth: int = 0, **more: Any) -> dict[str, Any]:
    """The event of one page."""
    response = {"headers": {"sa-statuscode": "200"}, "body": f"body of {url}", "statusCode": 200}
    event = {
        "url": url,
        "jobId": remote_id,
        "status": "finished",
        "credits": 1,
        "attempts": 1,
        "currentCost": 1,
        "currentDepth": depth,
    }
    return event | {"response": response} | more


def failed_page(remote_id: str, url: str, depth: int = 0, **more: Any) -> dict[str, Any]:
    """One page that could not be had."""
    event = page(remote_id, url, depth, status="failed", failReason="no such host", credits=0, **more)
    del event["response"]
    return event


def summary(remote_id: str, urls: list[str], failed: int = 0, state: str = "finished", **more: Any) -> dict[str, Any]:
    """The last event of a crawl."""
    return {
        "jobId": remote_id,
        "jobState": state,
        "jobCost": len(urls),
        "completed": [{"url": url, "cost": 1} for url in urls],
        "cancelled": [],
        "failed": [{"url": f"http://x/{at}", "failReason": "no such host"} for at in range(failed)],
        "crawlBudget": 100,
    } | more
