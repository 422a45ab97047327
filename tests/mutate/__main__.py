"""Break each guard in a copy of the tree, and see that a test fails: `python -m tests.mutate [--only WHERE ...]`.

Exit 1 where a mutation survives that is not marked as one that does, or where a marked one is seen; 2 where the tests
cannot be asked.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.mutate.catalogue import STAGES, CatalogueError, catalogue
from tests.mutate.report import faults, line, table
from tests.mutate.runner import Outcome, TestsBrokenError, run


def main() -> int:
    """The command."""
    mutations = catalogue()
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="WHERE", choices=sorted({one.where for one in mutations}), help="see --list"
    )
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=STAGES, help="ask these tests alone")
    parser.add_argument("--list", action="store_true", help="print the mutations, and do nothing")
    parser.add_argument("--jobs", type=int, default=2, help="at a time, each in a copy of its own")
    chosen = parser.parse_args()
    mutations = [one.asked_by(chosen.stage) for one in mutations if not chosen.only or one.where in chosen.only]
    if chosen.list:
        sys.stdout.writelines(f"{one}{' (survives)' if one.survives else ''}\n" for one in mutations)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="longhaul-mutate-") as folder:
            for outcome in run(mutations, Path(folder), chosen.jobs):
                outcomes[str(outcome.mutation)] = outcome
                sys.stdout.write(f"{len(outcomes):>3}/{len(mutations)}  {line(outcome)}\n")
                sys.stdout.flush()
    except (CatalogueError, TestsBrokenError) as error:
        sys.stdout.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stdout.write("Interrupted.\n")
        return 130
    ordered = [outcomes[str(one)] for one in mutations]
    sys.stdout.write(f"\n{table(ordered)}\n\n{time.monotonic() - began:.0f} s\n")
    wrong = faults(ordered)
    sys.stdout.writelines(f"FAILED  {fault}\n" for fault in wrong)
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
