"""A remote that answers at once: `POST /jobs` is accepted, every `GET /jobs/<id>` is finished with a small body.

With the base path `/running` the same, but no job ever finishes. Raw asyncio, so that the remote takes as little as possible of the cores
it shares with what is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys

import uvloop

BODY = "<!doctype html><title>ok</title>" + "x" * 200
serial = itertools.count(1)


class Stub(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as far as our clients use it."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
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
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head)

    def answer(self, head: bytes) -> None:
        """Answer the request that begins with `head`."""
        method, path, _ = head.split(b" ", 2)
        if method == b"POST":
            job = {"id": f"r{next(serial):012d}", "status": "running", "statusUrl": "", "url": "http://target.invalid/"}
        elif path.startswith(b"/running/"):
            job = {"id": job_id(path), "status": "running", "statusUrl": "", "url": "http://target.invalid/"}
        else:
            job = {
                "id": job_id(path),
                "status": "finished",
                "url": "http://target.invalid/",
                "response": {"headers": {"sa-statuscode": "200", "sa-credit-cost": "1"}, "body": BODY, "statusCode": 200},
            }
        text = json.dumps(job).encode()
        self.transport.write(  # type: ignore[attr-defined]
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
        )


def job_id(path: bytes) -> str:
    return path.rsplit(b"/", 1)[1].split(b"?")[0].decode()


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
