"""The batch client against a real server that misbehaves in every way."""

import gzip
import socket
import threading
import zlib

import brotli
import pytest

from longhaul.scraperapi.batch_client import BatchClient
from longhaul.scraperapi.models import Interrupted, TooLarge, Unreachable
from longhaul.scraperapi.protocol import HttpAnswer, HttpRequest
from tests.conftest import free_port
from tests.unit.longhaul.scraperapi.batch_calls import LIMIT, get, perform
from tests.wire import Reply, wire


def test_no_calls_are_no_groups_and_no_loop():
    batch = BatchClient(timeout=1, batch_timeout=2, max_bytes=LIMIT)
    assert list(batch.perform([])) == []
    assert batch._loop is None
    batch.close()


def test_a_call_arrives_with_method_address_headers_and_body(client):
    with wire(lambda _: Reply(201, b"made", {"X-A": "b"})) as server:
        (outcome,) = perform(
            client,
            HttpRequest(
                "POST", f"{server.base}/jobs/a%2Fb?api_key=k%26", b'{"a":1}', {"Content-Type": "application/json"}
            ),
        )
        (ask,) = server.asked
    assert (ask.method, ask.path, ask.query, ask.body) == ("POST", "/jobs/a%2Fb", {"api_key": ["k&"]}, b'{"a":1}')
    assert ask.headers["content-type"] == "application/json"
    assert isinstance(outcome, HttpAnswer)
    assert (outcome.status, outcome.body, outcome.headers["x-a"]) == (201, b"made", "b")


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 429, 500])
def test_every_code_is_an_answer_and_redirects_are_not_followed(client, status):
    with wire(lambda _: Reply(status, b"", {"Location": "/elsewhere"})) as server:
        (outcome,) = perform(client, HttpRequest("GET", f"{server.base}/x"))
        assert (outcome.status, len(server.asked)) == (status, 1)


def test_cookies_of_one_call_are_not_sent_with_the_next(client):
    with wire(lambda _: Reply(200, b"", {"Set-Cookie": "a=b"})) as server:
        for _ in range(2):
            perform(client, HttpRequest("GET", f"{server.base}/x"))
        assert [ask.headers.get("cookie") for ask in server.asked] == [None, None]


def test_a_hundred_calls_are_made_at_once_and_each_has_its_own_outcome(client):
    everybody = threading.Barrier(100)

    def answer(ask):
        everybody.wait(10)
        return Reply(200, ask.path.encode())

    with wire(answer) as server:
        outcomes = perform(client, *(HttpRequest("GET", f"{server.base}/{n}") for n in range(100)))
    assert [outcome.body for outcome in outcomes] == [f"/{n}".encode() for n in range(100)]


def test_answers_come_in_groups_as_they_arrive(client):
    release = threading.Event()
    with wire(lambda ask: Reply(200, b"", after=release if ask.path == "/slow" else None)) as server:
        groups = client.perform([(name, HttpRequest("GET", f"{server.base}/{name}")) for name in ("slow", "a", "b")])
        early = [key for key, _ in next(groups)]
        if len(early) < 2:
            early += [key for key, _ in next(groups)]
        assert sorted(early) == ["a", "b"]
        release.set()
        assert [key for group in groups for key, _ in group] == ["slow"]


def test_connections_are_kept(client):
    ports = set()
    with wire(lambda _: Reply(200)) as server:
        handle = server.process_request
        server.process_request = lambda request, address: (ports.add(address[1]), handle(request, address))
        for _ in range(5):
            perform(client, HttpRequest("GET", f"{server.base}/x"))
    assert len(ports) == 1


class TestLimits:
    def test_an_answer_of_exactly_the_limit_is_read(self, client):
        assert get(client, Reply(200, b"x" * LIMIT)).body == b"x" * LIMIT

    @pytest.mark.parametrize("body", [b"x" * (LIMIT + 1), b"x" * 10**6], ids=["a byte", "far"])
    def test_a_longer_one_is_not(self, client, body):
        assert get(client, Reply(200, body)) == TooLarge(LIMIT)

    def test_a_small_bomb_is_a_large_answer(self, client):
        bomb = gzip.compress(b"x" * 100_000)
        assert len(bomb) < LIMIT
        assert get(client, Reply(200, bomb, {"Content-Encoding": "gzip"})) == TooLarge(LIMIT)

    def test_an_error_page_over_the_limit_is_too_large_as_well(self, client):
        assert get(client, Reply(500, b"x" * (LIMIT + 1))) == TooLarge(LIMIT)


class TestTrouble:
    def test_a_port_where_nobody_listens_is_unreachable(self, client):
        (outcome,) = perform(client, HttpRequest("GET", f"http://127.0.0.1:{free_port()}/x"))
        assert isinstance(outcome, Unreachable)

    @pytest.mark.parametrize("url", ["http://", "http://[::1", "x", "http://127.0.0.1:99999/"])
    def test_an_address_that_is_none_has_an_outcome_and_harms_no_other_call(self, client, url):
        with wire(lambda _: Reply(200, b"fine")) as server:
            bad, good = perform(client, HttpRequest("GET", url), HttpRequest("GET", f"{server.base}/x"))
        assert isinstance(bad, Unreachable | Interrupted)
        assert good.body == b"fine"

    def test_a_connection_that_is_closed_without_an_answer_is_interrupted(self, client):
        with wire(lambda _: Reply(hang_up=True)) as server:
            (outcome,) = perform(client, HttpRequest("POST", f"{server.base}/x", b"{}"))
            assert isinstance(outcome, Interrupted)
            assert len(server.asked) == 1

    def test_a_connection_cut_in_the_middle_of_a_body_is_interrupted(self, client):
        assert isinstance(get(client, Reply(200, b"half", missing=4)), Interrupted)

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
    def test_a_body_that_cannot_be_decoded_is_interrupted_and_harms_no_other_call(self, client, coding):
        replies = {
            "/bad": Reply(200, b"no such thing at all", {"Content-Encoding": coding}),
            "/good": Reply(200, b"fine"),
        }
        with wire(lambda ask: replies[ask.path]) as server:
            bad, good = perform(
                client, HttpRequest("GET", f"{server.base}/bad"), HttpRequest("GET", f"{server.base}/good")
            )
        assert isinstance(bad, Interrupted)
        assert good.body == b"fine"

    @pytest.mark.parametrize(
        ("coding", "body"),
        [("gzip", gzip.compress(b"text")), ("deflate", zlib.compress(b"text")), ("br", brotli.compress(b"text"))],
        ids=["gzip", "deflate", "br"],
    )
    def test_a_coded_body_is_decoded(self, client, coding, body):
        assert get(client, Reply(200, body, {"Content-Encoding": coding})).body == b"text"

    @pytest.mark.parametrize(
        "nonsense",
        [b"HTTP/1.1 oops\r\n\r\n", b"220 smtp ready\r\n", b"\x00\x01", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"],
    )
    def test_an_answer_that_is_no_http_is_interrupted(self, client, nonsense):
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve():
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(nonsense)

            thread = threading.Thread(target=serve)
            thread.start()
            (outcome,) = perform(client, HttpRequest("GET", f"http://127.0.0.1:{listening.getsockname()[1]}/x"))
            thread.join(5)
        assert isinstance(outcome, Interrupted)

    def test_headers_that_never_end_are_interrupted(self, client):
        assert isinstance(get(client, Reply(200, b"", {"X-Long": "x" * 60_000})), Interrupted)

    def test_an_answer_that_does_not_come_in_time_is_interrupted(self):
        release = threading.Event()
        impatient = BatchClient(timeout=0.2, batch_timeout=5, max_bytes=LIMIT)
        try:
            with wire(lambda ask: Reply(200, b"fine", after=release if ask.path == "/slow" else None)) as server:
                slow, fast = perform(
                    impatient, HttpRequest("GET", f"{server.base}/slow"), HttpRequest("GET", f"{server.base}/fast")
                )
                release.set()
        finally:
            impatient.close()
        assert isinstance(slow, Interrupted)
        assert fast.body == b"fine"

    def test_a_batch_whose_calls_have_no_outcome_ends_all_the_same(self):
        release = threading.Event()
        batch = BatchClient(timeout=20, batch_timeout=0.2, max_bytes=LIMIT)
        try:
            with wire(lambda _: Reply(200, after=release)) as server:
                with pytest.raises(TimeoutError, match=r"^1 of 1 calls had no outcome within 0.2 s$"):
                    perform(batch, HttpRequest("GET", f"{server.base}/x"))
                release.set()
        finally:
            batch.close()

    def test_an_error_that_nobody_thought_of_is_one_calls_outcome_and_harms_no_other(self, client):
        with wire(lambda _: Reply(200, b"fine")) as server:
            bad, good = perform(
                client,
                HttpRequest("GET", f"{server.base}/x", headers={"X": None}),
                HttpRequest("GET", f"{server.base}/x"),
            )
        assert isinstance(bad, Interrupted)
        assert good.body == b"fine"
