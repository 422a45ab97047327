"""Lint every Lua script of the project: `python -m tests.lint.lua`. What it refuses is in `lua_rules`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from longhaul.ledger.script import load_script
from longhaul.ledger.script_header import HeaderError, parse_header
from tests.lint.lua_rules import Fault, Linter

ROOT = Path(__file__).parents[2]
PACKAGES = ("longhaul", "service", "workers", "tasks", "config", "cli")


def scripts() -> Iterator[Path]:
    """Every Lua file of the project."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.lua"))


def lint(paths: Sequence[Path]) -> list[Fault]:
    """What is wrong with these scripts, and with the functions that they use; a function that none of them uses is, too."""
    faults: set[Fault] = set()
    used: set[Fault] = set()
    unused: set[Fault] = set()
    for path in paths:
        try:
            if not parse_header(path.name, path.read_text()).is_script:
                continue
            linter = Linter(load_script(path.stem, path.parent))
        except HeaderError as error:
            faults.add(Fault(path.name, 1, str(error)))
            continue
        faults |= {*linter.faults()}
        used |= linter.functions(reached=True)
        unused |= linter.functions(reached=False)
    names = {path.name for path in paths}
    return sorted(faults | {fault for fault in unused - used if fault.file in names})


def main() -> int:
    """Print the faults; how many there are."""
    faults = lint(list(scripts()))
    for fault in faults:
        print(fault)  # noqa: T201
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
