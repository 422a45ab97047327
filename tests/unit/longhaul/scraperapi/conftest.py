"""A batch client for a module of tests."""

import pytest

from longhaul.scraperapi.batch_client import BatchClient
from tests.unit.longhaul.scraperapi.batch_calls import LIMIT


@pytest.fixture(scope="module")
def client():
    batch = BatchClient(timeout=5, batch_timeout=8, max_bytes=LIMIT)
    yield batch
    batch.close()
