"""Machines that do whatever can be done to the ledger, in any order, and know after each step what it has to hold."""

import pytest

pytest.register_assert_rewrite(
    *(f"tests.model.{name}" for name in ("jobs_bench", "jobs_check", "jobs_harm", "jobs_machine")),
    *(f"tests.model.{name}" for name in ("crawls_bench", "crawls_check", "crawls_machine")),
)
