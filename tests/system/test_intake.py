"""A worker dies in the steps between a message's queue and its record. The long form, with 200 deaths: `make intake`."""

from __future__ import annotations

import pytest

from tests.chaos.intake import yard


@pytest.mark.slow
def test_workers_that_die_around_the_taking_of_messages_lose_none() -> None:
    with yard("ours", seed=1) as busy:
        busy.kill(3, workers=2)
    assert busy.tally.kills.keys() == {"asked", "answered", "recorded"}
    assert len(busy.tally.sent) > 100
    assert (busy.tally.left, busy.tally.lost) == (0, [])
