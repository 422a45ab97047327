"""Lint every Lua script of the project: `python -m tests.lint.lua`. What it refuses is in `lua_rules`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    """What is wrong with these files: in scripts and the functions that they run, and functions that none of them runs."""
    faults: set[Fault] = set()
    used: set[Fault] = set()
    unused: set[Fault] = set()
    used_files = {"prelude.lua"}
    for path in paths:
        try:
            if not parse_header(path.name, path.read_text()).is_script:
                continue
            script = load_script(path.stem, path.parent)
        except (HeaderError, FileNotFoundError) as error:
            faults.add(Fault(path.name, 1, str(error)))
            continue
        linter = Linter(script)
        used_files |= {part.file for part in script.parts}
        faults |= {*linter.faults()}
        used |= linter.functions(reached=True)
        unused |= linter.functions(reached=False)
    names = {path.name for path in paths}
    faults |= {fault for fault in unused - used if fault.file in names}
    return sorted(faults | {Fault(name, 1, "no script uses this file") for name in names - used_files})


def main() -> int:
    """Print the faults; 1 where there are some."""
    paths = list(scripts())
    places = {path.name: path.relative_to(ROOT) for path in paths}
    faults = lint(paths)
    for fault in faults:
        print(replace(fault, file=str(places[fault.file])))  # noqa: T201
    print(f"{len(faults)} faults in {len(paths)} files of Lua")  # noqa: T201
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
