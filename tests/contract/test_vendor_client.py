"""The vendor's own client, unchanged, against the service as its users run it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scraperapi_sdk import ScraperAPIAsyncClient, ScraperAPIException

from service.faults.words import body_for
from tests.service_process import Service, service

KEY = "a-key-of-ours"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(
        tmp_path_factory.mktemp("service"), service_faults="1", service_api_keys=f'["{KEY}"]', log_level="DEBUG"
    ) as one:
        yield one


@pytest.fixture
def client(running: Service) -> ScraperAPIAsyncClient:
    return ScraperAPIAsyncClient(KEY, api_endpoint=running.base)


def test_create_and_wait_bring_the_body(client: ScraperAPIAsyncClient) -> None:
    url = "http://ok.fault.invalid/vendor"
    created = client.create(url, api_params={"device_type": "mobile", "render": False})
    assert created["status"] == "running"
    assert created["statusUrl"].endswith(f"/jobs/{created['id']}")
    finished = client.wait(created["id"], cooldown=0.05, max_retries=200, raise_for_exceeding_max_retries=True)
    assert finished["response"]["body"] == body_for(url)
    assert finished["response"]["statusCode"] == 200


def test_get_reads_a_running_job(client: ScraperAPIAsyncClient) -> None:
    created = client.create("http://never.fault.invalid/")
    seen = client.get(created["id"])
    assert (seen["status"], seen["url"]) == ("running", "http://never.fault.invalid/")


def test_wait_gives_up_when_told_to(client: ScraperAPIAsyncClient) -> None:
    created = client.create("http://never.fault.invalid/")
    assert client.wait(created["id"], cooldown=0.01, max_retries=2)["status"] == "running"
    with pytest.raises(ScraperAPIException):
        client.wait(created["id"], cooldown=0.01, max_retries=2, raise_for_exceeding_max_retries=True)


def test_every_error_has_the_status_that_the_client_reads(client: ScraperAPIAsyncClient, running: Service) -> None:
    assert client.get("no-such-id")["status"] == "error"
    assert client.wait("no-such-id", cooldown=0.01, max_retries=1)["statusCode"] == 404
    assert client.create("ftp://example.com/")["statusCode"] == 400
    assert client.create("http://example.com/", api_params={"render": True})["statusCode"] == 400
    stranger = ScraperAPIAsyncClient("wrong", api_endpoint=running.base)
    assert stranger.create("http://example.com/")["statusCode"] == 401
    assert stranger.get("no-such-id")["statusCode"] == 401
    assert client.amazon.product("B000000000")["status"] == "error"


def test_the_key_is_in_no_log(client: ScraperAPIAsyncClient, running: Service) -> None:
    created = client.create("http://ok.fault.invalid/secret")
    client.wait(created["id"], cooldown=0.05, max_retries=200)
    logs = [(running.folder / f"{name}.log").read_text() for name in ("web", "worker")]
    assert "attempted" in logs[1]  # at DEBUG there would be an access log
    assert not [log for log in logs if KEY in log]


def test_a_webhook_can_be_asked_for(client: ScraperAPIAsyncClient) -> None:
    created = client.create("http://never.fault.invalid/", webhook_url="http://127.0.0.1:9/hook")
    assert created["status"] == "running"
