"""The catalogue of mutations fits the tree, and what the run says of them is what became of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lint.lua_names import Names
from tests.mutate.catalogue import ROOT, STAGES, CatalogueError, Mutation, catalogue
from tests.mutate.report import faults, table
from tests.mutate.runner import TIME_OUT, Outcome

EACH = pytest.mark.parametrize("mutation", catalogue(), ids=str)
ONE = Mutation("claim", "no fence", "claim.lua", "fence", "", {"unit": ("test_due.py",)})


@EACH
def test_each_mutation_breaks_one_place_and_leaves_code_that_can_be_read(mutation):
    source = (ROOT / mutation.file).read_text()
    mutated = mutation.mutated(source)
    assert mutated != source
    if mutation.file.endswith(".py"):
        compile(mutated, mutation.file, "exec")
    else:
        assert Names(mutated).faults == []


@EACH
def test_each_mutation_names_tests_that_there_are(mutation):
    assert mutation.stages
    assert set(mutation.stages) <= set(STAGES)
    for tests in mutation.stages.values():
        assert [name for name in tests if not (ROOT / name.partition("::")[0]).exists()] == []


@pytest.mark.parametrize("source", ["", "fence fence"])
def test_a_mutation_whose_place_is_not_there_once_is_named_with_its_file(source):
    with pytest.raises(CatalogueError, match=r"claim.lua, claim: no fence: .* times, not once"):
        ONE.mutated(source)


def test_what_survives_without_a_reason_is_a_fault_and_what_is_seen_in_spite_of_one_is_too():
    marked = replace(ONE, name="marked", survives="nothing is lost")
    seen, survived = ("unit", "test_due.py::test"), ("", "")
    outcomes = [Outcome(ONE, *seen, 1.0), Outcome(marked, *survived, 1.0)]
    assert faults(outcomes) == []
    outcomes = [Outcome(ONE, *survived, 1.0), Outcome(marked, *seen, 1.0)]
    assert faults(outcomes) == [
        "claim: no fence: no test sees it",
        "claim: marked: seen by test_due.py::test, and marked as one that survives: take the mark out",
    ]


def test_the_table_counts_by_place_and_gives_each_survivor_its_reason():
    marked = replace(ONE, where="move", name="marked", survives="nothing is lost")
    outcomes = [
        Outcome(ONE, "flow", "test_flow.py::test", 1.0),
        Outcome(replace(ONE, name="no lease"), "model", TIME_OUT, 1.0),
        Outcome(marked, "", "", 1.0),
    ]
    assert table(outcomes).splitlines() == [
        "| where | mutations | unit, flow | model | survived |",
        "|---|---|---|---|---|",
        "| claim |         2 |          1 |     1 |        0 |",
        "| move  |         1 |          0 |     0 |        1 |",
        "| all   |         3 |          1 |     1 |        1 |",
        "",
        "Of those that were seen, 1 by a time-out.",
        "",
        "Survived:",
        "- move: marked: nothing is lost",
    ]
