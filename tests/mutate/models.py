"""The two models, as the mutations ask them: more programs than at every commit, and no shrinking of what they find."""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.crawls_machine import CrawlsMachine
from tests.model.depth import EVERY_COMMIT
from tests.model.jobs_machine import JobsMachine

UNSHRUNK = settings(EVERY_COMMIT, phases=(Phase.generate,))


def test_jobs(redis):
    run_state_machine_as_test(lambda: JobsMachine(redis), settings=settings(UNSHRUNK, max_examples=120))


def test_crawls(redis):
    run_state_machine_as_test(lambda: CrawlsMachine(redis), settings=settings(UNSHRUNK, max_examples=60))
