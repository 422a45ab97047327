"""Crawls: any interleaving of what can happen to them, on the real scripts and a real server."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.crawls_machine import CrawlsMachine
from tests.model.depth import DEEPER, EVERY_COMMIT


@pytest.mark.timeout(300)
def test_every_page_comes_once_and_every_crawl_ends_once_in_whatever_order(redis):
    run_state_machine_as_test(lambda: CrawlsMachine(redis), settings=settings(EVERY_COMMIT, max_examples=30))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_crawl_ends_once_also_in_orders_drawn_anew(redis):
    run_state_machine_as_test(lambda: CrawlsMachine(redis), settings=settings(DEEPER, max_examples=80))
