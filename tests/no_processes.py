"""The option `--no-processes`, for `make unit`: leave out the tests that start a process, and let none be started.

Tests marked `waits` are left out as well: they take seconds of real time, which a fast loop does not have.

A test starts a process if it uses the server of the session or has the marker `process`. An audit hook makes any other
test that tries to start one fail.
"""

from __future__ import annotations

import sys

import pytest

SERVER = "redis_server"
# The audit events that Python raises before it starts a process.
STARTS = frozenset({"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-processes", action="store_true", help="leave out the tests that start a server or a process")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "process: starts a process; `make unit` leaves it out")
    config.addinivalue_line("markers", "waits: takes seconds of real time; `make unit` leaves it out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that use the server; leave out all marked tests if asked to."""
    for item in items:
        if SERVER in getattr(item, "fixturenames", ()):
            item.add_marker("process")
    if config.getoption("--no-processes"):
        left_out = [item for item in items if item.get_closest_marker("process") or item.get_closest_marker("waits")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
        # Not in the process that pytest-xdist's workers are started from: it collects nothing.
        sys.addaudithook(refuse_processes)


def refuse_processes(event: str, _: tuple[object, ...]) -> None:
    """Raise where Python is about to start a process."""
    if event in STARTS:
        raise RuntimeError("this test starts a process: mark it with @pytest.mark.process")
