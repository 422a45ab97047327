import os
from pathlib import Path

import pytest
from redis import Redis

from longhaul.errors import PreflightFailed
from tests.conftest import free_port
from workers.local import embedded_server
from workers.local.embedded_server import (
    TEST_SERVER,
    ServerBinary,
    command,
    find_server,
    inspect_server,
    serving,
    why_unproven,
)

pytestmark = pytest.mark.process


def test_an_append_only_server_continues_with_what_it_has(tmp_path):
    port = free_port()
    for expected in (None, b"kept"):
        with serving(port, tmp_path / "ledger") as url, Redis.from_url(url) as redis:
            assert redis.get("key") == expected
            redis.set("key", "kept")


def test_what_is_rewritten_stays_readable_for_other_servers(tmp_path):
    with serving(free_port(), tmp_path / "ledger") as url, Redis.from_url(url) as redis:
        redis.set("key", "kept")
        assert redis.config_get("aof-use-rdb-preamble") == {"aof-use-rdb-preamble": "no"}


def test_a_taken_port_is_said(redis_server):
    port = int(redis_server.rpartition(":")[2].partition("/")[0])
    with pytest.raises(PreflightFailed, match=f"port {port}"), serving(port):
        pass


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Puts a program on the PATH, alone, that says it is this server."""
    monkeypatch.delenv(TEST_SERVER, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(says, name="redis-server"):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho '{says}'\n")
        file.chmod(0o755)
        inspect_server.cache_clear()
        return file

    yield put
    inspect_server.cache_clear()


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "7.4.1", "8.2.3"])
def test_a_proven_redis_on_the_path_is_taken(on_path, version):
    file = on_path(f"Redis server v={version} sha=00000000:0 malloc=libc bits=64 build=1")
    assert find_server() == ServerBinary(str(file), "Redis", version)
    assert str(find_server()) == f"Redis {version} ({file})"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("Redis server v=6.0.16 sha=0", "the oldest that has been proven is Redis 6.2"),
        ("Redis server v=5.0.3 sha=0", "the oldest that has been proven is Redis 6.2"),
        ("Redis server v=9.0.0 sha=0", "it is newer than any that has been proven"),
        ("Valkey server v=7.2.5 sha=0", "the oldest that has been proven is Valkey 8.1"),
        ("KeyDB server v=6.3.4 sha=0", "only Redis and Valkey have been proven"),
        ("hello", "does not say that it is a Redis or Valkey server"),
    ],
)
def test_any_other_on_the_path_is_passed_over_with_the_reason_and_the_packaged_one_is_taken(on_path, says, reason):
    file = on_path(says)
    found = find_server()
    assert (found.name, Path(found.path).name) == ("Valkey", "valkey-server")
    assert why_unproven(found) == ""
    (why,) = found.passed_over
    assert reason in why
    assert str(file) in why


def test_a_valkey_is_taken_where_the_redis_is_too_old(on_path):
    on_path("Redis server v=6.0.16 sha=0")
    file = on_path("Valkey server v=8.1.1 sha=0", "valkey-server")
    assert find_server().path == str(file)
    assert len(find_server().passed_over) == 1


def test_without_any_server_the_reasons_are_all_said(on_path, monkeypatch):
    on_path("Redis server v=6.0.16 sha=0")
    monkeypatch.setattr(embedded_server, "PACKAGE", "longhaul-has-no-such-package")
    with pytest.raises(PreflightFailed, match=r"Redis 6\.0\.16 .* is not used.* Install a server"):
        find_server()


def test_a_server_that_is_named_is_taken_whatever_its_version(on_path, monkeypatch):
    file = on_path("Redis server v=5.0.3 sha=0", "another")
    monkeypatch.setenv(TEST_SERVER, str(file))
    assert find_server().version == "5.0.3"
    monkeypatch.setenv(TEST_SERVER, "/nowhere/redis-server")
    with pytest.raises(PreflightFailed, match="/nowhere/redis-server does not run"):
        find_server()


def test_the_packaged_server_is_found_and_runs(tmp_path, monkeypatch):
    monkeypatch.delenv(TEST_SERVER, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert os.access(find_server(), os.X_OK)
    with serving(free_port()) as url, Redis.from_url(url) as redis:
        assert redis.info("server")["valkey_version"] == find_server().version


def test_a_server_that_would_start_empty_on_a_newer_ones_folder_is_refused(on_path, tmp_path):
    on_path("Redis server v=6.2.14 sha=0")
    command(1, tmp_path / "ledger")
    (tmp_path / "ledger" / "appendonlydir").mkdir()
    with pytest.raises(PreflightFailed, match=r"was written by a newer server than Redis 6\.2\.14"):
        command(1, tmp_path / "ledger")
    on_path("Redis server v=7.0.15 sha=0")
    assert "--appendonly" in command(1, tmp_path / "ledger")
