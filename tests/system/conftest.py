"""One running system for the session, with its own server; its books are checked after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import free_port
from tests.installation import Installation, installed
from workers.local.embedded_server import serving


@pytest.fixture(scope="session")
def longhaul() -> Iterator[Installation]:
    with serving(free_port()) as redis_url, installed(redis_url) as installation:
        yield installation


@pytest.fixture(autouse=True)
def books_balance(request: pytest.FixtureRequest) -> Iterator[None]:
    """Submitted = open + envelopes, after every test that uses an installation."""
    used = [
        request.getfixturevalue(name)
        for name in ("longhaul", "apart", "asleep", "crawling")
        if name in request.fixturenames
    ]
    yield
    for installation in used:
        assert installation.books().faults + installation.crawl_books().faults == []
