"""One installation for the session, with a server of its own; books are checked at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import free_port
from tests.installation import Installation, installed
from workers.embedded import serving


@pytest.fixture(scope="session")
def longhaul() -> Iterator[Installation]:
    with serving(free_port()) as redis_url, installed(redis_url) as installation:
        yield installation
