"""Workers that die between taking a message and recording its job. The long run, with 210 kills: `make intake`."""

from __future__ import annotations

import pytest

from tests.chaos.intake import intake_run


@pytest.mark.slow
def test_workers_that_die_around_the_taking_of_messages_lose_none() -> None:
    with intake_run("ours", seed=1) as run:
        run.kill(3, workers=2)
    assert run.result.kills.keys() == {"asked", "answered", "recorded"}
    assert len(run.result.sent) > 100
    assert (run.result.left, run.result.lost) == (0, [])
