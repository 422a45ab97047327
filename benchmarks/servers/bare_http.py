"""A minimal HTTP/1.1 server: keep-alive, bodies with a length, nothing else.

It is written on raw asyncio because it shares the cores with what is measured.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import uvloop


class BareHttp(asyncio.Protocol, ABC):
    """One connection. A subclass implements `answer`."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that has arrived whole."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = 0
            at = head.lower().find(b"content-length:")
            if at >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            method, path, _ = head.split(b" ", 2)
            self.transport.write(self.answer(method, path, body))  # type: ignore[attr-defined]

    @abstractmethod
    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        """The answer to a request as bytes: see `answered`."""


def answered(body: bytes, kind: bytes = b"application/json", status: bytes = b"200 OK") -> bytes:
    """An answer as bytes."""
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body)


def serve(protocol: type[BareHttp], port: int) -> None:
    """Serve on a loopback port until the process ends."""
    uvloop.run(_serve(protocol, port))


async def _serve(protocol: type[BareHttp], port: int) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()
