"""Run the soak test: `python -m tests.soak [--jobs J] [--minutes M]`. The exit code is 1 where a limit is exceeded."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.soak.monitor import SoakStalled
from tests.soak.report import report
from tests.soak.run import run
from tests.soak.size import soak_size
from workers.local.processes import PartFailed


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="for how long the jobs wait; submitting and ending take extra time"
    )
    chosen = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("LONGHAUL_")]:
        # The settings of this shell belong to another installation.
        del os.environ[name]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    folder = Path(tempfile.mkdtemp(prefix="longhaul-soak-"))
    sys.stderr.write(f"files are in {folder}\n")
    try:
        result = run(soak_size(chosen.jobs, chosen.minutes), folder / "run")
    except (SoakStalled, AssertionError, PartFailed) as error:
        sys.stdout.write(f"FAILED: {error}\nThe logs are in {folder}\n")
        return 1
    except KeyboardInterrupt:
        sys.stdout.write(f"Interrupted; the logs are in {folder}\n")
        return 130
    sys.stdout.write(f"{report(result)}\n")
    if result.violations:
        sys.stdout.write(f"FAILED; the logs are in {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


def interrupted(*_: object) -> None:
    """Stop once. Further signals are ignored, so that every process that was started ends first."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
