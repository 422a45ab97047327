"""A service for crawls, a real site, and a real receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service_process import Service, service
from tests.service_target import Target, serve
from tests.system.service.crawls.hook import Hook


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "service_faults": "1",
        "service_page_retry_for": "2",
        "service_max_body_bytes": "200000",
        "crawl_max_depth": "9",
    }
    with service(tmp_path_factory.mktemp("service"), **settings) as one:
        yield one


@pytest.fixture
def target() -> Iterator[Target]:
    with serve() as one:
        yield one


@pytest.fixture
def hook(target: Target) -> Hook:
    return Hook(target)
