"""The mutations, as the files in `mutations/` have them.

A file begins with the tests that see its mutations, in the three stages of `STAGES`; a `[[where]]` names a script or a
module and may have stages of its own, and so may each of its mutations.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MUTATIONS = Path(__file__).parent / "mutations"
STAGES = ("unit", "flow", "model")
"""Kinds of tests, in the order in which they are asked: the fastest first."""


class CatalogueError(Exception):
    """The catalogue does not fit the tree."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One guard, broken: `old` of `file` becomes `new`.

    `stages`: the tests of each stage, as pytest takes them. `survives`: why no test sees it, or empty.
    """

    where: str
    name: str
    file: str
    old: str
    new: str
    stages: Mapping[str, Sequence[str]]
    survives: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.name}"

    def asked_by(self, stages: Sequence[str]) -> Mutation:
        """The same, with the tests of these stages alone."""
        return replace(self, stages={stage: tests for stage, tests in self.stages.items() if stage in stages})

    def mutated(self, source: str) -> str:
        """The text of the file with the guard broken; raises `CatalogueError` where `old` is not there exactly once."""
        found = source.count(self.old)
        if not self.old or found != 1:
            raise CatalogueError(f"{self.file}, {self}: what it replaces is there {found} times, not once")
        return source.replace(self.old, self.new)


def catalogue() -> list[Mutation]:
    """All mutations, in the order of the files; raises `CatalogueError` where two have the same name."""
    found = [one for path in sorted(MUTATIONS.glob("*.toml")) for one in _read(path)]
    names = [str(one) for one in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise CatalogueError(f"twice in the catalogue: {', '.join(doubled)}")
    return found


def _read(path: Path) -> Iterator[Mutation]:
    document = tomllib.loads(path.read_text())
    for where in document["where"]:
        for one in where["mutations"]:
            given: dict[str, Any] = document["tests"] | where | one
            yield Mutation(
                where=where["name"],
                name=one["name"],
                file=given["file"],
                old=one["old"],
                new=one["new"],
                stages={stage: tuple(given[stage]) for stage in STAGES if given.get(stage)},
                survives=one.get("survives", ""),
            )
