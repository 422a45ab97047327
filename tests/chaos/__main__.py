"""Inject faults under load and check that nothing is lost: `python -m tests.chaos [--seed N] [--short] ...`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import Fault
from tests.chaos.report import report
from tests.chaos.run import full_run, run, schedule_of, short_run


def main() -> int:
    """Run the command; exit code 1 where there is a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="length of the run; faults are injected in three quarters of it"
    )
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=560)
    parser.add_argument("--short", action="store_true", help="a few hundred jobs, about a minute")
    parser.add_argument(
        "--only",
        choices=[fault.name.lower() for fault in Fault],
        nargs="*",
        default=[],
        help="inject only these kinds of faults",
    )
    parser.add_argument("--plan", action="store_true", help="print the schedule of faults and do nothing")
    chosen = parser.parse_args()
    size = short_run() if chosen.short else full_run(chosen.jobs, chosen.minutes, chosen.kills)
    only = [Fault[name.upper()] for name in chosen.only]
    if chosen.plan:
        sys.stdout.write("\n".join(str(injection) for injection in schedule_of(chosen.seed, size, only)) + "\n")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="longhaul-chaos-"))
    sys.stderr.write(f"seed {chosen.seed}; logs are in {folder}\n")
    result = run(chosen.seed, size, folder / "run", only)
    sys.stdout.write(f"{report(result)}\n")
    if result.violations:
        sys.stdout.write(f"FAILED with seed {chosen.seed}; the logs are in {folder}\n")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
