import socket
import threading
import time
from contextlib import contextmanager

import pytest

from tests.tcp_proxy import HOST, proxying


@contextmanager
def echoing():
    """A server that sends back what it gets; gives its port."""
    with socket.create_server((HOST, 0)) as server:

        def serve():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=(peer,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(peer):
    with peer:
        try:
            while piece := peer.recv(4096):
                peer.sendall(piece)
        except OSError:
            return


@pytest.fixture
def proxy():
    with echoing() as port, proxying(port) as proxy:
        yield proxy


def dial(proxy, timeout=5.0):
    return socket.create_connection((HOST, proxy.port), timeout=timeout)


def asked(peer, words=b"hello"):
    peer.sendall(words)
    answer = b""
    while len(answer) < len(words):
        answer += peer.recv(4096)
    return answer


def test_bytes_and_ends_pass(proxy):
    with dial(proxy) as peer:
        assert asked(peer) == b"hello"
        assert asked(peer, b"x" * 500_000) == b"x" * 500_000
        assert proxy.open == 1
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""


def test_a_black_hole_swallows_bytes_and_keeps_sockets_open(proxy):
    with dial(proxy) as old, dial(proxy) as quiet:
        assert asked(old) == asked(quiet) == b"hello"
        proxy.change(swallow=True)
        with dial(proxy, 0.2) as new:
            for peer in (old, new):
                peer.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    asked(peer)
            proxy.change()
            # Its bytes are lost, so it stays dead. The one that lost none goes on.
            with pytest.raises(TimeoutError):
                asked(old)
            assert asked(quiet) == b"hello"


def test_frozen_connections_stay_half_open_and_new_ones_pass(proxy):
    with dial(proxy) as old:
        asked(old)
        proxy.freeze()
        old.settimeout(0.2)
        with dial(proxy) as new:
            assert asked(new) == b"hello"
        with pytest.raises(TimeoutError):
            asked(old)


def test_cut_connections_are_reset_and_new_ones_pass(proxy):
    with dial(proxy) as old:
        asked(old)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    with dial(proxy) as new:
        assert asked(new) == b"hello"


def test_refused_is_as_if_nobody_listened(proxy):
    with dial(proxy) as old:
        asked(old)
        proxy.change(refuse=True)
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
        assert asked(old) == b"hello"
    proxy.change()
    with dial(proxy) as new:
        assert asked(new) == b"hello"


def test_slow_connections_are_slow(proxy):
    with dial(proxy) as peer:
        proxy.change(delay=0.1)
        began = time.monotonic()
        asked(peer)
        assert 0.2 <= time.monotonic() - began < 2
        proxy.change(rate=20)
        began = time.monotonic()
        asked(peer, b"123456")
        assert 0.2 <= time.monotonic() - began < 2


def test_an_answer_can_be_cut_in_its_middle(proxy):
    proxy.change(cut_after=3)
    with dial(proxy) as peer:
        peer.sendall(b"hello")
        assert peer.recv(3, socket.MSG_WAITALL) == b"hel"
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_a_target_that_is_away_is_a_reset():
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        # The reset may come as soon as the connection is made, before `dial` returns.
        with proxying(nobody.getsockname()[1]) as broken, pytest.raises(ConnectionResetError), dial(broken) as peer:
            peer.recv(1)
