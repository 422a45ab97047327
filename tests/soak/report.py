"""The report of a soak as Markdown tables, ready for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.soak.checks import MEGABYTE, MINUTE, WINDOW_SECONDS, SoakResult, max_requests
from tests.soak.key_stats import KeyStats
from tests.soak.request_log import max_within, mean

MAX_VIOLATIONS = 40


def report(result: SoakResult) -> str:
    """All tables."""
    parts = [
        _rows(("phase", "time"), ((name, f"{seconds:.0f} s") for name, seconds in result.phases)),
        _memory(result),
        _polls(result),
        _keys(result),
        _rows(("what", "figure"), _facts(result)),
        f"violations: {len(result.violations)}",
        *(f"  {violation}" for violation in result.violations[:MAX_VIOLATIONS]),
    ]
    return "\n\n".join(parts[:5]) + "\n\n" + "\n".join(parts[5:])


def _memory(result: SoakResult) -> str:
    rows = []
    for one in result.trends:
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


def _polls(result: SoakResult) -> str:
    rows = []
    for name, lateness in result.lateness.items():
        shares = [f"{lateness.quantile(share):.2f}" for share in (0.5, 0.99, 1.0)]
        rows.append((name, f"{result.polls[name]:.0f}", f"{len(lateness.seconds):,}", *shares))
    return _rows(("quiet time", "polls a second", "measured", "late by, s: p50", "p99", "most"), rows)


def _keys(result: SoakResult) -> str:
    before, after = result.key_counts
    rows = []
    for name in sorted(before.keys() | after.keys()):
        then, now = before.get(name, KeyStats()), after.get(name, KeyStats())
        rows.append(
            (f"`{name}`", f"{then.count:,}", f"{now.count:,}", f"{then.size / 1024:,.1f}", f"{now.size / 1024:,.1f}")
        )
    return _rows(("keys", "after the warm-up", "at the end", "KB then", "KB at the end"), rows)


def _facts(result: SoakResult) -> Iterable[tuple[str, str]]:
    one, ten = max_requests(result.per_second)
    yield "jobs, envelopes", f"{result.jobs:,}, {result.envelopes:,}"
    yield "limit of the account", f"{result.per_second:,} requests a second"
    yield "polls a second while all are 503", f"{result.polls['while all are 503']:.0f}"
    for catch_up in result.catch_ups:
        yield f"{catch_up.name}: polls a second before, then", f"{catch_up.before:.0f}, {mean(catch_up.counts):.0f}"
        yield f"{catch_up.name}: most in one second (bound)", f"{max(catch_up.counts, default=0):,} ({one:,})"
        yield (
            f"{catch_up.name}: most in {WINDOW_SECONDS} s consecutive (bound)",
            f"{max_within(catch_up.counts, WINDOW_SECONDS):,} ({ten:,})",
        )
        yield f"{catch_up.name}: caught up with after", f"{catch_up.seconds:.0f} s"
    if order := result.order:
        yield "order of overdue polls: rank correlation", f"{order.correlation:.4f}"
        yield "order of overdue polls: out of place by more than is in flight at once", f"{order.displaced:.2%}"
        yield "order of overdue polls: most places off", f"{order.worst:,}"
    for name in ("attempts", "losses"):
        yield f"{name} in all records", f"{sum(int(value) * count for value, count in result.fields[name].items())}"
    yield from result.facts.items()


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])
