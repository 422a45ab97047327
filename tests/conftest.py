"""A real server for the session, emptied before each test that uses it."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis

from longhaul.ledger.connection import connect
from workers.local.embedded_server import find_server, serving

pytest_plugins = ["tests.no_processes"]

# No test may fail because this machine is slow.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")


def free_port() -> int:
    """A free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--no-processes"):
        return "server: none"
    return f"server: {find_server()}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    with serving(free_port()) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    client = connect(redis_server)
    client.flushall()
    client.close()
    return redis_server


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = connect(redis_url)
    yield client
    client.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make captured logs UTF-8 for pytest-xdist: some tests log ids that are not."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
