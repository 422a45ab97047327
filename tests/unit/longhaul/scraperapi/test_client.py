import socket
import threading
from contextlib import suppress

import pytest

from longhaul.scraperapi.client import call
from longhaul.scraperapi.models import Interrupted, TooLarge, Unreachable
from longhaul.scraperapi.protocol import HttpRequest
from tests.conftest import free_port
from tests.wire import Reply, wire


def get(reply, **options):
    with wire(lambda _: reply) as server:
        return call(HttpRequest("GET", f"{server.base}/x"), **({"timeout": 5} | options))


def test_a_call_arrives_and_its_answer_comes_back():
    with wire(lambda _: Reply(201, b"made", {"X-A": "b"})) as server:
        answer = call(
            HttpRequest("POST", f"{server.base}/jobs?api_key=k%26", b"{}", {"Content-Type": "application/json"}),
            timeout=5,
        )
        (ask,) = server.asked
    assert (ask.method, ask.query, ask.body, ask.headers["content-type"]) == (
        "POST",
        {"api_key": ["k&"]},
        b"{}",
        "application/json",
    )
    assert (answer.status, answer.body, answer.headers["x-a"]) == (201, b"made", "b")


def test_redirects_are_not_followed():
    assert get(Reply(302, b"", {"Location": "/y"})).status == 302


def test_an_answer_over_its_limit_is_not_read_to_its_end():
    assert get(Reply(200, b"x" * 11), max_bytes=10) == TooLarge(10)
    assert get(Reply(200, b"x" * 10), max_bytes=10).body == b"x" * 10


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://no-such-host.invalid/", "http://"])
def test_where_no_connection_comes_about_the_remote_is_unreachable(url):
    assert isinstance(call(HttpRequest("GET", url.format(port=free_port())), timeout=5), Unreachable)


@pytest.mark.parametrize(
    "reply",
    [Reply(hang_up=True), Reply(200, b"half", missing=4), Reply(200, b"no gzip at all", {"Content-Encoding": "gzip"})],
    ids=["no answer", "half an answer", "an answer that cannot be decoded"],
)
def test_where_a_connection_breaks_the_remote_may_have_acted(reply):
    assert isinstance(get(reply), Interrupted)


def test_an_answer_that_does_not_come_in_time_is_interrupted():
    release = threading.Event()
    with wire(lambda _: Reply(200, after=release)) as server:
        outcome = call(HttpRequest("GET", f"{server.base}/x"), timeout=0.1)
        release.set()
    assert isinstance(outcome, Interrupted)


def test_an_answer_that_trickles_is_broken_off():
    ended = threading.Event()

    def trickle(server):
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not ended.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server,))
        thread.start()
        outcome = call(HttpRequest("GET", f"http://127.0.0.1:{server.getsockname()[1]}/"), timeout=0.5)
        ended.set()
        thread.join(10)
    assert outcome == Interrupted("the answer took longer than 0.5 s")
