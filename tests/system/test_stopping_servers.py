"""On SIGTERM the receiver and the service's web process finish requests that have begun; on a second SIGTERM they wait
for none.
"""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests
from redis import Redis

from longhaul.jobs.store import JobStore
from longhaul.work.callbacks import Callbacks
from tests.builders import a_submission, envelopes, job_limits
from tests.installation import ROOT, clean_environ, until
from tests.service_process import Service, eventually
from workers.local.stack import Stack, free_ports

SOON_SECONDS = 5.0
SECRET = "0123456789abcdef" * 3


@contextmanager
def receiving(redis_url: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A receiver as `longhaul up` starts it, and its port."""
    ports = free_ports()
    local = Stack(ports, redis_url, self_hosted=True, workers=1, secret=SECRET)
    part = local.own()[0]
    process = subprocess.Popen(part.command, env={**clean_environ(), **part.env}, cwd=ROOT)
    try:
        until(lambda: _answers(f"{local.receiver_url}/health"), "the receiver is ready")
        yield process, ports.receiver
    finally:
        process.kill()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


class Push:
    """A push of a result of which all but the last byte is sent."""

    def __init__(self, port: int, job_id: str) -> None:
        self.port = port
        callbacks = Callbacks(SECRET)
        url = urlsplit(callbacks.url(f"http://127.0.0.1:{port}", "job", job_id))
        response = {"statusCode": 200, "headers": {}, "body": "pushed"}
        body = json.dumps({"id": "r1", "status": "finished", "url": "http://x/", "response": response}).encode()
        login = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
        head = f"POST {url.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.sendall(head.encode() + body[:-1])
        self._last = body[-1:]

    def finish(self) -> str:
        """Send the rest; the status line of the answer."""
        self.socket.sendall(self._last)
        return self.socket.recv(4096).decode().splitlines()[0]

    def refused(self) -> bool:
        """Whether new connections are refused."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False


def test_a_stopped_receiver_takes_what_is_being_pushed(redis: Redis, redis_url: str) -> None:
    store = JobStore(redis, job_limits())
    store.submit([("job-1", a_submission())], tracked=False)
    with receiving(redis_url) as (process, port):
        push = Push(port, "job-1")
        process.terminate()
        until(push.refused, "the receiver refuses connections")
        with push.socket:
            assert push.finish() == "HTTP/1.1 200 OK"
        assert process.wait(SOON_SECONDS) in {0, -signal.SIGTERM}
    assert [envelope["body"] for envelope in envelopes(redis)] == ["pushed"]


def test_a_receiver_stopped_twice_waits_for_no_push(redis: Redis, redis_url: str) -> None:
    store = JobStore(redis, job_limits())
    store.submit([("job-1", a_submission())], tracked=False)
    with receiving(redis_url) as (process, port):
        push = Push(port, "job-1")
        process.terminate()
        until(push.refused, "the receiver refuses connections")
        assert process.poll() is None
        process.terminate()
        process.wait(SOON_SECONDS)
        push.socket.close()
    assert envelopes(redis) == []
    job = store.get("job-1")
    assert job is not None
    assert job.state == "queued"


def test_a_service_stopped_twice_waits_for_no_client(tmp_path: Path, redis_url: str) -> None:
    service = Service(redis_url, tmp_path)
    service.start_web()
    try:
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
            client.sendall(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            eventually(lambda: _answers(f"{service.base}/health"))
            web = service.processes["web"]
            web.terminate()
            eventually(lambda: not _answers(f"{service.base}/health"))
            assert web.poll() is None
            web.terminate()
            web.wait(SOON_SECONDS)
    finally:
        service.stop_all()
