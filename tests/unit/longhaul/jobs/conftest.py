from __future__ import annotations

import pytest

from tests.builders import Clock, a_store


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(redis, clock):
    return a_store(redis, clock)
