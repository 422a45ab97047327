"""A soak: `python -m tests.soak [--jobs J] [--minutes M]`. Exit 1 where a limit is broken."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.soak.course import go
from tests.soak.extent import sized
from tests.soak.soak_table import table
from tests.soak.watch import Stuck
from workers.local.processes import PartFailed


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="for so long the jobs wait; submitting and ending come on top"
    )
    chosen = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("LONGHAUL_")]:
        # The settings of whoever runs it are another installation's.
        del os.environ[name]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    folder = Path(tempfile.mkdtemp(prefix="longhaul-soak-"))
    sys.stderr.write(f"files are in {folder}\n")
    try:
        findings = go(sized(chosen.jobs, chosen.minutes), folder / "run")
    except (Stuck, AssertionError, PartFailed) as error:
        sys.stdout.write(f"FAILED: {error}\nThe logs are in {folder}\n")
        return 1
    except KeyboardInterrupt:
        sys.stdout.write(f"Interrupted; the logs are in {folder}\n")
        return 130
    sys.stdout.write(f"{table(findings)}\n")
    if findings.faults:
        sys.stdout.write(f"FAILED; the logs are in {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


def interrupted(*_: object) -> None:
    """End, once: every process that was started must end first, so whoever says it again has to wait."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
