"""A TCP proxy on loopback that disturbs connections: `with proxying(port) as proxy: ... proxy.change(swallow=True)`."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

HOST = "127.0.0.1"
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Conditions:
    """What happens to bytes from now on, on open and new connections. The default: they pass."""

    refuse: bool = False
    """New connections are refused; open ones stay as they are."""
    swallow: bool = False
    """A black hole: bytes and ends vanish, sockets stay open. A connection that has lost a byte passes no more."""
    delay: float = 0.0
    """Seconds by which each piece is delayed, in both directions."""
    rate: float = 0.0
    """Bytes per second of each answer, one at a time; 0: no limit."""
    cut_after: int | None = None
    """A connection is reset after so many bytes of answers, counted from its start."""


class _Link:
    """A connection through the proxy: two sockets. `dead`: no byte passes any more."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.dead = False

    def reset(self) -> None:
        for writer in self.writers:
            # A TLS connection that has ended has no socket any more.
            if (peer := writer.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    # The peer sees a reset, not an end, even if it has not read everything.
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()


class Proxy:
    """`port` is its own; `target` the port that it leads to. With `tls` its clients must speak TLS, which ends here.
    Every method may be called from the test's thread.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.tls = tls
        self.port = 0
        self.conditions = Conditions()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def change(self, **conditions: object) -> None:
        """Set conditions; those that are not named get their defaults."""
        self._run(self._change(replace(Conditions(), **conditions)))  # type: ignore[arg-type]

    def cut(self) -> None:
        """Reset every open connection."""
        self._run(self._each(_Link.reset))

    def freeze(self) -> None:
        """Make every open connection half-open; new ones pass, as after a failover behind one address."""
        self._run(self._each(lambda link: setattr(link, "dead", True)))

    def start(self) -> None:
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _change(self, conditions: Conditions) -> None:
        self.conditions = conditions
        if conditions.refuse:
            self._close()
        else:
            await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, ssl=self.tls)
            self.port = self._server.sockets[0].getsockname()[1]

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _each(self, act) -> None:
        for link in tuple(self._links):
            act(link)

    async def _end(self) -> None:
        self._close()
        await self._each(_Link.reset)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            _Link(writer).reset()
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump(link, *way))
            for way in ((reader, far_writer, False), (far_reader, writer, True))
        ]
        try:
            # When one direction ends, end the other: no test keeps a connection half closed.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Cancelled by `_end`. asyncio logs a traceback for a cancelled handler.
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._links.discard(link)
            for end in link.writers:
                end.close()

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bool
    ) -> None:
        sent = 0
        with suppress(OSError):
            while True:
                piece = await reader.read(CHUNK)
                if link.dead or self.conditions.swallow:
                    link.dead = True
                    if not piece:
                        await asyncio.Event().wait()
                    continue
                if not piece:
                    return
                await asyncio.sleep(self.conditions.delay)
                sent += len(piece) if answer else 0
                if self.conditions.cut_after is not None and sent > self.conditions.cut_after:
                    writer.write(piece[: self.conditions.cut_after - sent])
                    link.reset()
                    return
                while answer and self.conditions.rate and piece:
                    writer.write(piece[:1])
                    piece = piece[1:]
                    await asyncio.sleep(1 / self.conditions.rate)
                writer.write(piece)
                await writer.drain()


@contextmanager
def proxying(target: int, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy to loopback port `target` while the block runs."""
    proxy = Proxy(target, tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
