"""Machines that do whatever can be done to the ledger, in any order, and know after each step what it has to hold."""

import pytest

pytest.register_assert_rewrite("tests.model.jobs_machine", "tests.model.crawls_machine")
