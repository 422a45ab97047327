import pytest
from redis import Redis

from longhaul.ledger.connection import connect, problem
from tests.conftest import free_port


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


def test_a_server_that_is_away_is_said():
    client = Redis(port=free_port(), retry=None)
    assert problem(client).startswith("does not answer (")
    client.close()


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


class Old(Redis):
    """A server of a version that can't be had here; everything else is the real client."""

    def info(self, section):
        return {"redis_version": "6.0.16"} if section == "server" else {}


def test_a_server_that_is_too_old_is_said():
    assert problem(Old()) == "is version 6.0.16; 6.2 is the oldest that knows the commands used here"
