import socket
from contextlib import closing, contextmanager
from threading import Thread

import pytest

from longhaul.ledger.connection import connect, problem
from tests.certificates import Authority
from tests.cluster_node import cluster_node
from tests.conftest import free_port
from tests.tcp_proxy import proxying


def test_a_sound_server_has_no_problem(redis):
    assert problem(redis) is None


def test_a_connection_notices_a_dead_peer(redis):
    assert (
        redis.connection_pool.connection_kwargs.items()
        >= {
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "decode_responses": True,
        }.items()
    )


def wrong_with(url):
    with closing(connect(url)) as client:
        return problem(client)


def test_a_server_that_is_away_is_said():
    assert wrong_with(f"redis://127.0.0.1:{free_port()}/0").startswith("does not answer (")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_may_throw_records_away_is_said(redis, policy):
    redis.config_set("maxmemory", 10**9)
    redis.config_set("maxmemory-policy", policy)
    try:
        assert problem(redis) == f"may throw records away (maxmemory-policy is {policy}); set it to noeviction"
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", 0)


def test_a_bounded_server_that_evicts_nothing_has_no_problem(redis):
    redis.config_set("maxmemory", 10**9)
    try:
        assert problem(redis) is None
    finally:
        redis.config_set("maxmemory", 0)


def test_connecting_to_nowhere_fails_at_the_first_command_only():
    connect(f"redis://127.0.0.1:{free_port()}/0").close()


@pytest.mark.process
def test_a_node_of_a_cluster_is_refused_with_the_reason(tmp_path):
    with cluster_node(tmp_path) as url:
        assert wrong_with(url).startswith("is a node of a cluster, whose keys lie on several servers")
        assert "cluster mode switched off" in wrong_with(url)


@contextmanager
def saying(**info):
    """The address of a server that answers every INFO with these lines."""

    def answer(peer):
        with peer, peer.makefile("rb") as lines:
            while line := lines.readline():
                words = [lines.readline() and lines.readline().strip() for _ in range(int(line[1:]))]
                text = "\r\n".join(f"{name}:{value}" for name, value in info.items())
                answers = {b"INFO": f"${len(text)}\r\n{text}\r\n".encode(), b"PING": b"+PONG\r\n"}
                peer.sendall(answers.get(words[0], b"+OK\r\n"))

    def accept():
        # One client of one connection.
        peer, _ = listener.accept()
        answer(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=accept)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2"
        thread.join(10)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (
            {"redis_version": "6.0.16", "redis_mode": "standalone"},
            "is version 6.0.16; 6.2 is the oldest that knows the commands used here",
        ),
        ({"redis_version": "7.2.4", "redis_mode": "cluster"}, "is a node of a cluster, "),
        ({"redis_version": "7.2.4", "server_mode": "cluster"}, "is a node of a cluster, "),
        ({"redis_version": "7.2.4", "redis_mode": "sentinel"}, "is a Sentinel, which holds no data"),
    ],
    ids=["old", "cluster of Redis", "cluster of Valkey", "sentinel"],
)
def test_a_server_that_cannot_be_had_here_is_refused_by_what_it_says_of_itself(info, words):
    with saying(**info) as url:
        assert wrong_with(url).startswith(words)


@pytest.mark.parametrize("info", [{"redis_version": "6.2.0"}, {"redis_version": "8.2.3", "redis_mode": "standalone"}])
def test_a_single_server_that_is_new_enough_is_taken(info):
    with saying(**info) as url:
        assert wrong_with(url) is None


class TestTls:
    @pytest.fixture
    def port(self, redis_server, tmp_path):
        plain = int(redis_server.rpartition(":")[2].partition("/")[0])
        with proxying(plain, Authority(tmp_path).server()) as proxy:
            yield proxy.port

    def test_a_certificate_of_the_named_ca_is_taken(self, port, tmp_path):
        assert wrong_with(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}") is None

    def test_any_certificate_is_taken_where_the_address_says_so(self, port):
        assert wrong_with(f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs=none") is None

    def test_a_certificate_of_another_ca_is_refused_with_the_remedy(self, port, tmp_path):
        other = Authority(tmp_path, "other").file
        for options in ("", f"?ssl_ca_certs={other}"):
            said = wrong_with(f"rediss://127.0.0.1:{port}/0{options}")
            assert said.startswith("has a certificate that cannot be verified (unable to get local issuer certificate)")
            assert "?ssl_ca_certs=/path" in said

    def test_a_certificate_of_another_host_is_refused(self, redis_server, tmp_path):
        plain = int(redis_server.rpartition(":")[2].partition("/")[0])
        ca = Authority(tmp_path)
        with proxying(plain, ca.server("127.0.0.2")) as proxy:
            said = wrong_with(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={ca.file}")
        assert "certificate is not valid for '127.0.0.1'" in said


def test_a_user_who_is_refused_or_may_not_ask_is_said(redis, redis_server):
    redis.acl_setuser("small", enabled=True, passwords=["+right"], keys=["*"], commands=["+get"])
    try:
        address = redis_server.removeprefix("redis://")
        assert wrong_with(f"redis://small:wrong@{address}").startswith("refuses the user or the password")
        assert "allow that user +@all" in wrong_with(f"redis://small:right@{address}")
    finally:
        redis.acl_deluser("small")
