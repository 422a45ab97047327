"""Run the benchmarks: `python -m benchmarks`. Prints a table, or JSON lines when piped; the exit code is 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import crawling, memory, polls, receiver, throughput
from benchmarks.figure import Figure, table
from benchmarks.rig import Rig, machine, start_rig

Measurement = Callable[[Rig], Iterator[Figure]]

FULL: dict[str, Measurement] = {
    "polls": partial(polls.measure, jobs=40_000),
    "throughput": partial(throughput.measure, jobs=40_000, single=10_000),
    "memory": partial(memory.measure, jobs=100_000, seconds=30),
    "crawling": partial(crawling.measure, pages=5_000, runs=3, kept=20_000),
    "receiver": partial(receiver.measure, events=4_000, runs=5),
}
QUICK: dict[str, Measurement] = {
    "polls": partial(polls.measure, jobs=8_000),
    "throughput": partial(throughput.measure, jobs=8_000, single=1_000),
    "memory": partial(memory.measure, jobs=10_000, seconds=5),
    "crawling": partial(crawling.measure, pages=500, runs=1, kept=2_000),
    "receiver": partial(receiver.measure, events=1_000, runs=1),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts: takes a minute; the figures say little")
    parser.add_argument(
        "only",
        nargs="*",
        choices=[[], *FULL],
        metavar="measurement",
        help=f"one or more of {', '.join(FULL)}; default: all",
    )
    chosen = parser.parse_args()
    suite = QUICK if chosen.quick else FULL
    figures = []
    with start_rig() as rig:
        print(machine(rig.redis), file=sys.stderr)
        for name in chosen.only or suite:
            for figure in suite[name](rig):
                figures.append(figure)
                if not sys.stdout.isatty():
                    print(json.dumps(figure.document(), ensure_ascii=False), flush=True)
    print(table(figures), file=sys.stdout if sys.stdout.isatty() else sys.stderr)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
