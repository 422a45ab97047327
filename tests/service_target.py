"""A web site to be scraped, and a receiver of webhooks: one server in a thread, which remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import brotli
from aiohttp import web

from tests.service_site import site_page, tree_page

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PAGE = "<!doctype html><html><body><h1>Grüße</h1><script>no()</script><p>One <b>two</b></p></body></html>"
PACKED = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


@dataclass
class Target:
    """What the server was asked, and how often each `/flaky` page has failed. `refusals`: webhooks to refuse before
    taking one.
    """

    base: str = ""
    asked: list[Asked] = field(default_factory=list)
    refusals: int = 0

    def at(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]


def _application(target: Target) -> web.Application:
    async def page(request: web.Request) -> web.StreamResponse:
        target.asked.append(
            Asked(
                request.method,
                request.path,
                {name.lower(): value for name, value in request.headers.items()},
                await request.read(),
            )
        )
        return await _answer(target, request)

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{anything:.*}", page)
    return app


async def _answer(target: Target, request: web.Request) -> web.StreamResponse:  # noqa: C901, PLR0911, PLR0912
    kind, _, rest = request.path[1:].partition("/")
    match kind:
        case "page":
            return web.Response(text=PAGE, content_type="text/html")
        case "status":
            return web.Response(status=int(rest), text=f"status {rest}")
        case "redirect":
            raise web.HTTPFound(
                "/page" if rest == "0" else f"/redirect/{int(rest) - 1}", headers={"set-cookie": "hop=1; path=/"}
            )
        case "loop":
            raise web.HTTPFound("/loop")
        case "to":
            raise web.HTTPFound(request.query["url"])
        case "charset":
            label = None if rest == "none" else rest
            headers = {"content-type": f"text/html; charset={label}" if label else "text/html"}
            return web.Response(body=PAGE.encode(label or "windows-1252"), headers=headers)
        case "packed":
            return web.Response(
                body=PACKED[rest](PAGE.encode()),
                headers={"content-encoding": rest, "content-type": "text/html; charset=utf-8"},
            )
        case "bytes":
            return web.Response(body=b"x" * int(rest), content_type="text/plain")
        case "nested":
            return web.Response(text="<div>" * 5000 + "deep", content_type="text/html")
        case "image":
            return web.Response(body=b"\x89PNG\x00\xff", content_type="image/png")
        case "flaky":
            failing = len(target.at(request.path)) <= int(rest)
            return web.Response(status=503 if failing else 200, text="flaky")
        case "slow":
            await asyncio.sleep(float(rest))
            return web.Response(text="slow")
        case "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        case "site":
            elsewhere = target.base.replace("127.0.0.1", "localhost")
            return await site_page(rest, elsewhere, len(target.at(request.path)))
        case "tree":
            pages, pause, number = rest.split("/")
            return await tree_page(int(number or 0), int(pages), float(pause))
        case "many":
            return web.Response(
                text="".join(f"<a href=/to-{number}>x</a>" for number in range(int(rest))), content_type="text/html"
            )
        case "backoff":
            if rest == "1" and len(target.at(request.path)) == 1:
                return web.Response(status=503, headers={"retry-after": "1"})
            await asyncio.sleep(0.05)
            links = "".join(f"<a href=/backoff/{number}>x</a>" for number in range(1, 21))
            return web.Response(text="" if rest else links, content_type="text/html")
        case "dated":
            asked = {"retry-after": rest} if rest else {}
            return web.Response(headers={"date": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", **asked})
        case "busy":
            seconds, _, number = rest.rpartition("/")
            if not number:
                return web.Response(
                    text="".join(f"<a href={page}>x</a>" for page in range(40)), content_type="text/html"
                )
            return web.Response(status=429, headers={"retry-after": seconds} if seconds else {})
        case "hook":
            taken = len(target.at(request.path)) > target.refusals
            return web.Response(status=200 if taken else 500)
        case _:
            return web.Response(status=404, text="no such page")


@contextlib.contextmanager
def serve() -> Iterator[Target]:
    """The server on a free loopback port while the block runs."""
    target = Target()
    loop = asyncio.new_event_loop()
    ready: list[Any] = []

    async def start() -> None:
        runner = web.AppRunner(_application(target), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        target.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.append(runner)

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield target
    finally:

        async def finish() -> None:
            await ready[0].cleanup()
            # Slow pages that nobody waits for any more.
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(finish(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
