"""A remote that pushes page events as fast as the receiver takes them, one after the other on each kept connection.

`python -m benchmarks.pusher CALLBACK REMOTE_ID FIRST COUNT` pushes COUNT events, numbered from FIRST, and prints the
events per second.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import uvloop

from benchmarks.static_site import Site
from longhaul.scraperapi.protocol import dump_json

CONNECTIONS = 32
BODY_BYTES = 50 * 1024
NUMBER = "{number}"


class Push(asyncio.Protocol):
    """One connection. It sends the requests of `events`, one after the other, and then sets `done`."""

    def __init__(self, events: Iterator[list[bytes]], done: asyncio.Future[None]) -> None:
        self._events, self._done = events, done
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first event."""
        self._transport = transport
        self._push()

    def data_received(self, data: bytes) -> None:
        """Read a whole answer, then send the next event."""
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self._fail(ValueError(f"refused: {self._answer!r}"))
            return
        self._answer = b""
        self._push()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail, unless everything was sent."""
        self._fail(error or ConnectionError("the receiver closed the connection"))

    def _push(self) -> None:
        event = next(self._events, None)
        if event is not None:
            self._transport.writelines(event)  # type: ignore[attr-defined]
        elif not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)


def requests(callback: str, remote_id: str, first: int, count: int) -> Iterator[list[bytes]]:
    """Requests as bytes, each with another page of one crawl; its HTML has `BODY_BYTES` bytes."""
    parts = urlsplit(callback)
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.hostname}:{parts.port}\r\nAuthorization: Basic {credentials}\r\n"
    )
    head += "Content-Type: application/json\r\nContent-Length: "
    before, after = dump_json(_event(remote_id)).split(NUMBER.encode())
    for number in range(first, first + count):
        digits = b"%08d" % number
        length = len(before) + len(digits) + len(after)
        yield [head.encode(), b"%d\r\n\r\n" % length, before, digits, after]


def _event(remote_id: str) -> dict[str, object]:
    site = Site(100, "http://site.invalid")
    # Real pages have a few characters beyond ASCII.
    pages = (answer.decode().partition("\r\n\r\n")[2].replace("&para;", "¶") for answer in site.answers.values())
    html = "".join(pages)[:BODY_BYTES]
    headers = {
        "content-type": "text/html; charset=utf-8",
        "server": "nginx",
        "date": "Mon, 01 Jan 2024 00:00:00 GMT",
        "etag": '"5f-62"',
    }
    headers |= {"sa-final-url": "http://site.invalid/page", "sa-statuscode": "200", "sa-credit-cost": "1"}
    event = {
        "currentCost": 1,
        "url": f"http://site.invalid/page-{NUMBER}.html",
        "jobId": remote_id,
        "status": "finished",
        "credits": 1,
    }
    event |= {"attempts": 1, "startUrl": "http://site.invalid/", "currentDepth": 2}
    return event | {"response": {"headers": headers, "statusCode": 200, "credits": 1, "body": html}}


async def push(callback: str, remote_id: str, first: int, count: int) -> float:
    """Push all events; the seconds until the last answer."""
    loop, parts = asyncio.get_running_loop(), urlsplit(callback)
    events = requests(callback, remote_id, first, count)
    head = next(events)
    ended = [loop.create_future() for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for number, done in enumerate(ended):
        # The first event is made before the clock starts, so that the template is ready.
        own = _chained(head, events) if number == 0 else events
        make = partial(Push, own, done)
        await loop.create_connection(make, parts.hostname, parts.port)
    await asyncio.gather(*ended)
    return time.perf_counter() - began


def _chained(first: list[bytes], rest: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    yield first
    yield from rest


if __name__ == "__main__":
    callback, remote_id, first, count = sys.argv[1:]
    print(int(count) / uvloop.run(push(callback, remote_id, int(first), int(count))))
