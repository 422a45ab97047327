"""The whole system over TLS, as an ACL user with a password: one address, spelled alike for every process, and a
certificate that is verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from config.celery_settings import celery_url
from longhaul.ledger.connection import connect
from service.faults.words import body_for
from tests.certificates import Authority
from tests.conftest import free_port
from tests.installation import Installation, installed, until
from tests.system.test_start import BEAT, RECEIVER, WORKER, start
from tests.tcp_proxy import proxying
from workers.local.embedded_server import serving

PASSWORD = "p@ss/w:rd"
QUOTED = "p%40ss%2Fw%3Ard"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A server that only the user `longhaul` may use, at a `rediss://` address without options."""
    port = free_port()
    with serving(port) as plain, closing(connect(plain)) as redis, proxying(port, Authority(folder).server()) as proxy:
        admit_only_longhaul(redis)
        yield f"rediss://longhaul:{QUOTED}@127.0.0.1:{proxy.port}/0"


def admit_only_longhaul(redis: Redis) -> None:
    redis.acl_setuser(
        "longhaul",
        enabled=True,
        passwords=[f"+{PASSWORD}"],
        keys=["*"],
        channels=["*"],
        commands=["+@all", "-@admin", "+info"],
    )
    redis.acl_setuser("default", enabled=False)


@pytest.fixture(scope="module")
def secured(address: str, folder: Path) -> Iterator[Installation]:
    url = f"{address}?ssl_ca_certs={folder / 'ca.pem'}"
    with installed(url) as installation:
        # Another service's Celery spells out what ours is told by `celery_url`.
        installation.client = Celery(broker=celery_url(url), backend=celery_url(url))
        with closing(installation.client):
            yield installation


def test_a_job_comes_home_and_its_client_learns_of_it(secured: Installation) -> None:
    url = "http://ok.fault.invalid/over-tls"
    job_id = secured.submit(url)
    assert secured.envelope(job_id)["body"] == body_for(url)
    assert secured.client.AsyncResult(job_id).get(timeout=30)["status"] == "finished"


def test_a_crawl_of_the_service_comes_home_through_the_receiver(secured: Installation) -> None:
    done = secured.command("crawl", "http://site-3.fault.invalid/", "--depth", "1", "--queue", "tls", "--follow")
    assert done.returncode == 0, done.stderr


def test_the_command_works_and_finds_nothing_wrong(secured: Installation) -> None:
    submitted = secured.command("submit", "http://ok.fault.invalid/command-over-tls", "--queue", "command")
    assert submitted.returncode == 0, submitted.stderr
    until(lambda: secured.redis.xlen("longhaul:results:command") == 1, "an envelope")
    for arguments in (("results", "--queue", "command"), ("status",), ("books",), ("doctor",)):
        said = secured.command(*arguments)
        assert said.returncode == 0, said.stdout + said.stderr
        assert PASSWORD not in said.stdout + said.stderr
        assert QUOTED not in said.stdout + said.stderr


@pytest.mark.parametrize("process", [WORKER, BEAT, RECEIVER], ids=["worker", "beat", "receiver"])
@pytest.mark.parametrize("trusted", ["the system's", "another"])
def test_a_certificate_that_cannot_be_verified_ends_the_process_with_the_remedy(
    address: str, folder: Path, process: tuple[str, ...], trusted: str
) -> None:
    options = f"?ssl_ca_certs={Authority(folder, 'other').file}" if trusted == "another" else ""
    ended = start(*process, LONGHAUL_REDIS_URL=f"{address}{options}", LONGHAUL_API_KEY="k")
    assert ended.returncode in {69, 3}  # 3: uvicorn's own code for a start that failed
    assert "has a certificate that cannot be verified" in ended.stderr
    assert "?ssl_ca_certs=/path" in ended.stderr
    assert QUOTED not in ended.stderr


def test_a_broker_whose_certificate_cannot_be_verified_is_named(address: str, redis_url: str) -> None:
    ended = start(*WORKER, LONGHAUL_REDIS_URL=redis_url, LONGHAUL_BROKER_URL=address, LONGHAUL_API_KEY="k")
    assert ended.returncode == 69
    assert "The broker at rediss://longhaul:**@127.0.0.1" in ended.stderr
    assert "has a certificate that cannot be verified" in ended.stderr


def test_verification_can_be_switched_off(address: str) -> None:
    with closing(connect(f"{address}?ssl_cert_reqs=none")) as redis:
        assert redis.ping()
