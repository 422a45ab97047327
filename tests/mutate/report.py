"""What the mutations came to, for people."""

from __future__ import annotations

from collections.abc import Sequence

from tests.mutate.runner import TIME_OUT, Outcome

MODEL = "model"
COLUMNS = ("mutations", "unit, flow", "model", "survived")


def line(outcome: Outcome) -> str:
    """One outcome, as it becomes known."""
    seen = f"{outcome.stage:<5}  {outcome.by}" if outcome.stage else "SURVIVED"
    return f"{outcome.seconds:5.1f} s  {outcome.mutation!s:<72}  {seen}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Which tests saw how many, where, as Markdown; and the survivors with their reasons."""
    wheres = list(dict.fromkeys(one.mutation.where for one in outcomes))
    rows = [(where, _counts([one for one in outcomes if one.mutation.where == where])) for where in wheres]
    rows.append(("all", _counts(outcomes)))
    width = max(len(where) for where, _ in rows)
    lines = [f"| {'where':<{width}} | {' | '.join(COLUMNS)} |", f"|{'---|' * (1 + len(COLUMNS))}"]
    for where, counts in rows:
        cells = [f"{count:>{len(name)}}" for name, count in zip(COLUMNS, counts, strict=True)]
        lines.append(f"| {where:<{width}} | {' | '.join(cells)} |")
    slow = sum(one.by == TIME_OUT for one in outcomes)
    if slow:
        lines += ["", f"Of those that were seen, {slow} by a time-out."]
    survived = [one.mutation for one in outcomes if not one.stage]
    if survived:
        lines += ["", "Survived:"]
        lines += [f"- {one}: {one.survives or 'NOBODY KNOWS WHY'}" for one in survived]
    return "\n".join(lines)


def faults(outcomes: Sequence[Outcome]) -> list[str]:
    """What is not as the catalogue says: a mutation that survived without a reason, or was seen in spite of one."""
    return [
        f"{one.mutation}: seen by {one.by}, and marked as one that survives: take the mark out"
        if one.stage
        else f"{one.mutation}: no test sees it"
        for one in outcomes
        if bool(one.stage) == bool(one.mutation.survives)
    ]


def _counts(outcomes: Sequence[Outcome]) -> tuple[int, int, int, int]:
    model = sum(one.stage == MODEL for one in outcomes)
    survived = sum(not one.stage for one in outcomes)
    return len(outcomes), len(outcomes) - model - survived, model, survived
