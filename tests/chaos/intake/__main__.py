"""Kill busy workers, again and again, and check that no submission is lost: `python -m tests.chaos.intake [--kills N]
[--transport stock]`.

Each worker dies at a crash point, all points in turn, while a client sends more than the workers take. At the end
healthy workers take what is left; then each message that was sent must have its record in the ledger. The exit code is
1 where one has none. With kombu's own transport some have none: the test can fail.
"""

from __future__ import annotations

import argparse
import os
import random
import sys

from tests.chaos.intake.run import intake_run


def main() -> int:
    """Run the command; exit code 1 where a message is lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.intake", description=__doc__)
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument("--workers", type=int, default=max(2, os.cpu_count() or 2), help="workers at a time")
    parser.add_argument("--transport", choices=("ours", "stock"), default="ours")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    sys.stderr.write(f"seed {chosen.seed}\n")
    with intake_run(chosen.transport, chosen.seed) as run:
        run.kill(chosen.kills, chosen.workers)
    sys.stdout.write(f"{run.result.report(chosen.transport, chosen.seed)}\n")
    return 1 if run.result.lost or run.result.left else 0


if __name__ == "__main__":
    sys.exit(main())
