"""Jobs: any interleaving of what can happen to them, on the real scripts and a real server."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.model.depth import DEEPER, EVERY_COMMIT
from tests.model.jobs_machine import JobsMachine


@pytest.mark.timeout(300)
def test_every_job_ends_once_whatever_comes_in_whatever_order(redis):
    run_state_machine_as_test(lambda: JobsMachine(redis), settings=EVERY_COMMIT)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_job_ends_once_also_in_orders_drawn_anew(redis):
    run_state_machine_as_test(lambda: JobsMachine(redis), settings=DEEPER)
