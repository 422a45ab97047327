"""The batch client used by several threads, closed, and with its pending calls aborted."""

import socket
import threading
import time
from contextlib import contextmanager

from longhaul.scraperapi.batch_client import BatchClient
from longhaul.scraperapi.protocol import HttpRequest
from tests.unit.longhaul.scraperapi.batch_calls import LIMIT, get, perform
from tests.wire import Reply, wire


class TestLife:
    def test_two_batches_at_once_from_two_threads_share_the_loop(self, client):
        with wire(lambda ask: Reply(200, ask.path.encode())) as server:
            found = {}

            def run(name):
                found[name] = [
                    one.body
                    for one in perform(client, *(HttpRequest("GET", f"{server.base}/{name}{n}") for n in range(20)))
                ]

            threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
        assert found == {name: [f"/{name}{n}".encode() for n in range(20)] for name in "ab"}

    def test_a_batch_that_its_user_leaves_breaks_its_calls_off(self):
        batch = BatchClient(timeout=20, batch_timeout=20, max_bytes=LIMIT)
        release = threading.Event()
        with wire(lambda ask: Reply(200, after=release if ask.path == "/slow" else None)) as server:
            groups = batch.perform([(name, HttpRequest("GET", f"{server.base}/{name}")) for name in ("slow", "fast")])
            assert [key for key, _ in next(groups)] == ["fast"]
            groups.close()
            release.set()
        batch.close()

    def test_closing_twice_is_fine_and_a_closed_client_starts_again(self):
        batch = BatchClient(timeout=5, batch_timeout=8, max_bytes=LIMIT)
        for _ in range(2):
            assert get(batch, Reply(200, b"fine")).body == b"fine"
            batch.close()
            batch.close()
        assert "batch-calls" not in {thread.name for thread in threading.enumerate()} or batch._thread is None


def test_abort_pending_waits_for_no_answer_that_has_not_begun_and_reads_what_has():
    batch = BatchClient(timeout=20, batch_timeout=25, max_bytes=LIMIT)
    release, halfway = threading.Event(), threading.Event()

    def answer(ask):
        return Reply(200, b"early") if ask.path == "/early" else Reply(200, b"late", after=release)

    with wire(answer) as server, slow_body(halfway) as slow:
        calls = [("early", f"{server.base}/early"), ("silent", f"{server.base}/silent"), ("begun", slow)]
        seen = {}
        began = time.monotonic()
        for group in batch.perform([(key, HttpRequest("GET", url)) for key, url in calls]):
            seen |= {key: outcome.body for key, outcome in group}
            if "early" in seen and not halfway.is_set():
                until = time.monotonic() + 5
                while len(batch._unanswered) > 1:
                    assert time.monotonic() < until
                    time.sleep(0.01)
                batch.abort_pending()
                halfway.set()
        assert seen == {"early": b"early", "begun": b"0123456789"}
        assert time.monotonic() - began < 10
        assert list(batch.perform([("next", HttpRequest("GET", f"{server.base}/early"))])) == []
        assert len([ask for ask in server.asked if ask.path == "/early"]) == 1
        assert batch._unanswered == set()
        release.set()
    batch.close()
    batch.abort_pending()


@contextmanager
def slow_body(rest):
    """A server whose answer has begun, and goes on when `rest` is set; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
                rest.wait(10)
                connection.sendall(b"56789")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(10)
