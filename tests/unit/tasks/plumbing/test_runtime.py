"""One runtime a process, whoever comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.installation import ROOT, clean_environ

MANY_AT_ONCE = """
import sys, threading
from tasks.plumbing.runtime import runtime

sys.setswitchinterval(1e-6)
barrier, made = threading.Barrier(16), []

def first_use():
    barrier.wait()
    made.append(runtime())

threads = [threading.Thread(target=first_use) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len({id(one) for one in made}), len(made))
"""


@pytest.mark.process
def test_threads_that_come_first_together_get_the_same_runtime() -> None:
    # A process of its own: here somebody may have been first already.
    done = subprocess.run(
        [sys.executable, "-c", MANY_AT_ONCE],
        env={**clean_environ(), "LONGHAUL_API_KEY": "k"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "16"]
