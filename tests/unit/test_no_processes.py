"""`make unit` leaves out tests that start a process, and fails those that are not marked."""

import re
import subprocess
import sys

import pytest

from tests.installation import ROOT

TESTS = """
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def redis_server():
    subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.fixture
def ledger(redis_server):
    pass


def test_plain():
    pass


def test_on_the_server(ledger):
    pass


@pytest.mark.process
def test_marked():
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_forgotten():
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_forgotten_fork():
    if os.fork() == 0:
        os._exit(0)


def test_forgotten_shell():
    os.system("true")
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest on the tests above with some options; its output."""
    (tmp_path / "test_of_all_kinds.py").write_text(TESTS)

    def run(*options):
        line = [sys.executable, "-m", "pytest", "-p", "tests.no_processes", "-p", "no:cacheprovider", "-vrA", *options]
        done = subprocess.run(
            [*line, f"--rootdir={tmp_path}", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout

    return run


def outcomes(output, outcome):
    return set(re.findall(rf"^{outcome} \S*::(\w+)", output, re.MULTILINE))


@pytest.mark.process
@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "with xdist"])
def test_what_starts_a_process_is_left_out_and_what_was_forgotten_fails(run, options):
    output = run("--no-processes", *options)
    assert outcomes(output, "PASSED") == {"test_plain"}
    assert outcomes(output, "FAILED") == {"test_forgotten", "test_forgotten_fork", "test_forgotten_shell"}
    assert "mark it with @pytest.mark.process" in output
    assert "test_marked" not in output
    assert "test_on_the_server" not in output


@pytest.mark.process
def test_all_run_otherwise(run):
    assert len(outcomes(run(), "PASSED")) == 6
