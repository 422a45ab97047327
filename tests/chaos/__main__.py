"""Nothing lost: prove it by force. `python -m tests.chaos [--seed N] [--minutes M] [--jobs J] [--kills K] [--short]`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.harms import Harm
from tests.chaos.run import blows_of, go, long, short
from tests.chaos.table import table


def main() -> int:
    """The command; 1 where anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=20.0, help="all of it; three quarters are harm")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=560)
    parser.add_argument("--short", action="store_true", help="a few hundred jobs, about a minute")
    parser.add_argument(
        "--only", choices=[harm.name.lower() for harm in Harm], nargs="*", default=[], help="harms of these sorts"
    )
    parser.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    chosen = parser.parse_args()
    size = short() if chosen.short else long(chosen.jobs, chosen.minutes, chosen.kills)
    only = [Harm[name.upper()] for name in chosen.only]
    if chosen.plan:
        sys.stdout.write("\n".join(str(blow) for blow in blows_of(chosen.seed, size, only)) + "\n")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="longhaul-chaos-"))
    sys.stderr.write(f"seed {chosen.seed}; logs are in {folder}\n")
    outcome = go(chosen.seed, size, folder / "run", only)
    sys.stdout.write(f"{table(outcome)}\n")
    if outcome.faults:
        sys.stdout.write(f"FAILED with seed {chosen.seed}; the logs are in {folder}\n")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
