import pytest
from redis import Redis

from longhaul.errors import PreflightFailed
from tests.conftest import free_port
from workers.local.embedded_server import serving


@pytest.mark.process
def test_an_append_only_server_goes_on_where_it_stopped(tmp_path):
    port = free_port()
    for expected in (None, b"kept"):
        with serving(port, tmp_path / "ledger") as url, Redis.from_url(url) as redis:
            assert redis.get("key") == expected
            redis.set("key", "kept")


def test_a_taken_port_is_said(redis_server):
    port = int(redis_server.rpartition(":")[2].partition("/")[0])
    with pytest.raises(PreflightFailed, match=f"port {port}"), serving(port):
        pass
