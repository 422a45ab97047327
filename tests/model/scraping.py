"""A small model of the remote: what each call does there, and what comes back. No I/O; it stands where `BatchClient`
stands.

It is the contract at its strictest: the first poll that reads a result deletes it, whether its answer arrives or not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from longhaul.scraperapi.models import Interrupted, Json, TooLarge, Unreachable
from longhaul.scraperapi.protocol import HttpAnswer, HttpOutcome, HttpRequest


class Luck(Enum):
    """How a call goes. The `AFTER`s happen once the remote has acted on it."""

    GOOD = "good"
    UNREACHABLE = "no connection"
    BEFORE = "cut before"
    AFTER = "cut after"
    OUTAGE = "503"
    ERROR = "500"
    MALFORMED_AFTER = "malformed"
    TOO_LARGE_AFTER = "too large"
    REJECTED = "400"
    REFUSED = "401"
    THROTTLED = "429"
    LAG = "404"


PLAIN = {
    Luck.UNREACHABLE: Unreachable("nobody there"),
    Luck.BEFORE: Interrupted("cut"),
    Luck.OUTAGE: HttpAnswer(503, {}, b"away"),
    Luck.ERROR: HttpAnswer(500, {}, b"oops"),
    Luck.REJECTED: HttpAnswer(400, {}, b"no such thing"),
    Luck.REFUSED: HttpAnswer(401, {}, b"who?"),
    Luck.THROTTLED: HttpAnswer(429, {"Retry-After": "7"}, b"slowly"),
    Luck.LAG: HttpAnswer(404, {}, b"never heard of it"),
}
SPOILT = {
    Luck.AFTER: Interrupted("cut"),
    Luck.MALFORMED_AFTER: HttpAnswer(200, {}, b"<html>"),
    Luck.TOO_LARGE_AFTER: TooLarge(10),
}
FATAL = {Luck.REJECTED, Luck.TOO_LARGE_AFTER, Luck.ERROR, Luck.BEFORE, Luck.AFTER, Luck.MALFORMED_AFTER}
"""What a job may fail of, at once or at last."""


@dataclass
class Order:
    """One submission that the remote has taken. `state`: running, finished, failed, cancelled, lost (404) or gone
    (410).
    """

    remote_id: str
    url: str
    callback: str
    state: str = "running"


@dataclass
class Scraping:
    """`luck`: how the next calls go; when it is used up, well. `taken`: submissions of each address, `blamed`: those
    that may fail.
    """

    luck: list[Luck] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)
    blamed: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    webhooks: list[tuple[str, Json]] = field(default_factory=list)

    def perform(self, calls: Sequence[tuple[Any, HttpRequest]]) -> Iterator[list[tuple[Any, HttpOutcome]]]:
        """As `BatchClient.perform`, one answer after the other."""
        for key, request in calls:
            luck = self.luck.pop(0) if self.luck else Luck.GOOD
            yield [(key, self.answer(request, luck))]

    def answer(self, request: HttpRequest, luck: Luck) -> HttpOutcome:
        if luck in FATAL:
            self.blamed.add(self.url_of(request))
        if luck in PLAIN:
            if luck is Luck.LAG:
                self.lost.add(self.url_of(request))
            return PLAIN[luck]
        done = self.act(request)
        return SPOILT.get(luck, done)

    def act(self, request: HttpRequest) -> HttpOutcome:
        if request.method == "POST":
            wanted = json.loads(request.body or b"")
            order = Order(f"remote-{len(self.orders) + 1}", wanted["url"], wanted.get("callback", {}).get("url", ""))
            self.orders[order.remote_id] = order
            self.taken[order.url] += 1
            return _answer(document(order))
        order = self.orders[request.url.rpartition("/")[2]]
        if order.state in {"lost", "gone"}:
            return HttpAnswer(404 if order.state == "lost" else 410, {}, b"")
        found = document(order)
        if request.method == "DELETE":
            order.state = "cancelled" if order.state == "running" else order.state
        elif order.state == "finished":
            self.lose(order, "lost")
        return _answer(found)

    def end(self, order: Order, state: str) -> None:
        """End a running submission; its webhook is sent, if it has a callback."""
        if state in {"lost", "gone"}:
            self.lose(order, state)
            return
        order.state = state
        if state == "failed":
            self.blamed.add(order.url)
        if order.callback:
            self.webhooks.append((order.callback, document(order)))

    def lose(self, order: Order, state: str) -> None:
        order.state = state
        self.lost.add(order.url)

    def running(self) -> list[Order]:
        return [order for order in self.orders.values() if order.state == "running"]

    def url_of(self, request: HttpRequest) -> str:
        return str(json.loads(request.body)["url"]) if request.body else self.orders[request.url.rpartition("/")[2]].url


def body_of(url: str) -> str:
    """What the target at `url` serves."""
    return f"body of {url}"


def document(order: Order) -> Json:
    """A job as the remote describes it."""
    found: Json = {"id": order.remote_id, "status": order.state, "url": order.url}
    if order.state == "finished":
        found["response"] = {
            "headers": {"sa-statuscode": "200"},
            "body": body_of(order.url),
            "statusCode": 200,
            "credits": 1,
        }
    if order.state == "failed":
        found["failReason"] = "no luck"
    return found


def _answer(document: Json) -> HttpAnswer:
    return HttpAnswer(200, {}, json.dumps(document).encode())
