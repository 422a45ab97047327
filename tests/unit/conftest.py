"""A ledger of the tests' own, with a clock that they set."""

import pytest

from longhaul.ledger.due import Due
from tests.builders import Clock
from tests.rows import SPACE, TABLE


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def due(redis, clock):
    return Due(redis, SPACE, TABLE, blobs=("text",), clock=clock)
