"""`--no-processes`: the fast loop of `make unit`. Tests that start a process are left out, and none can be started.

A test starts a process where it uses the server of the session, or where it is marked with `process`. An audit hook
holds that to be all of them: whatever else tries to start one fails.
"""

from __future__ import annotations

import sys

import pytest

SERVER = "redis_server"
# What Python announces before it starts a process, in whichever way.
STARTS = frozenset({"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-processes", action="store_true", help="leave out the tests that start a server or a process")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "process: starts a process; `make unit` leaves it out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the server, and leave out what is marked."""
    for item in items:
        if SERVER in getattr(item, "fixturenames", ()):
            item.add_marker("process")
    if config.getoption("--no-processes"):
        left_out = [item for item in items if item.get_closest_marker("process")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
        # Not in the process that pytest-xdist's workers are started from: it collects nothing.
        sys.addaudithook(refuse_processes)


def refuse_processes(event: str, _: tuple[object, ...]) -> None:
    """Raise where Python is about to start a process."""
    if event in STARTS:
        raise RuntimeError("this test starts a process: mark it with @pytest.mark.process")
