"""The tables of a soak: Markdown, ready to be pasted into `docs/internals/reliability.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.soak.diary import mean, most_within
from tests.soak.findings import MEGABYTE, MINUTE, WINDOW, Findings, bounds
from tests.soak.keywalk import Keys

MOST_FAULTS = 40


def table(findings: Findings) -> str:
    """All of it."""
    parts = [
        _rows(("phase", "time"), ((name, f"{seconds:.0f} s") for name, seconds in findings.phases)),
        _memory(findings),
        _looks(findings),
        _keys(findings),
        _rows(("what", "figure"), _facts(findings)),
        f"faults: {len(findings.faults)}",
        *(f"  {fault}" for fault in findings.faults[:MOST_FAULTS]),
    ]
    return "\n\n".join(parts[:5]) + "\n\n" + "\n".join(parts[5:])


def _memory(findings: Findings) -> str:
    rows = []
    for one in findings.trends:
        sizes = [f"{size / MEGABYTE:.1f}" for size in (one.first, one.last, one.most)]
        rows.append(
            (
                one.name,
                *sizes,
                f"{one.slope * MINUTE / 1024:+.1f}",
                f"{one.late_slope * MINUTE / 1024:+.1f}",
                f"{one.seconds / MINUTE:.1f}",
            )
        )
    return _rows(
        ("process", "MB at first", "at last", "at most", "slope, KB/min", "of the second half", "over, min"), rows
    )


def _looks(findings: Findings) -> str:
    rows = []
    for name, lateness in findings.lateness.items():
        shares = [f"{lateness.at(share):.2f}" for share in (0.5, 0.99, 1.0)]
        rows.append((name, f"{findings.looks[name]:.0f}", f"{len(lateness.seconds):,}", *shares))
    return _rows(("quiet time", "looks a second", "measured", "late by, s: p50", "p99", "most"), rows)


def _keys(findings: Findings) -> str:
    before, after = findings.walks
    rows = []
    for name in sorted(before.keys() | after.keys()):
        then, now = before.get(name, Keys()), after.get(name, Keys())
        rows.append(
            (f"`{name}`", f"{then.count:,}", f"{now.count:,}", f"{then.size / 1024:,.1f}", f"{now.size / 1024:,.1f}")
        )
    return _rows(("keys", "after the warm-up", "at the end", "KB then", "KB at the end"), rows)


def _facts(findings: Findings) -> Iterable[tuple[str, str]]:
    one, ten = bounds(findings.per_second)
    yield "jobs, envelopes", f"{findings.jobs:,}, {findings.envelopes:,}"
    yield "limit of the account", f"{findings.per_second:,} requests a second"
    yield "looks a second while all are 503", f"{findings.looks['while all are 503']:.0f}"
    for rush in findings.rushes:
        yield f"{rush.name}: looks a second before, then", f"{rush.before:.0f}, {mean(rush.counts):.0f}"
        yield f"{rush.name}: most in one second (bound)", f"{max(rush.counts, default=0):,} ({one:,})"
        yield f"{rush.name}: most in {WINDOW} s on end (bound)", f"{most_within(rush.counts, WINDOW):,} ({ten:,})"
        yield f"{rush.name}: caught up with after", f"{rush.seconds:.0f} s"
    if found := findings.order:
        yield "order of overdue looks: rank correlation", f"{found.correlation:.4f}"
        yield "order of overdue looks: out of place by more than is under way at once", f"{found.displaced:.2%}"
        yield "order of overdue looks: most places off", f"{found.worst:,}"
    for name in ("attempts", "losses"):
        yield f"{name} in all records", f"{sum(int(value) * count for value, count in findings.fields[name].items())}"
    yield from findings.facts.items()


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])
