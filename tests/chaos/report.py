"""The report of a run as text."""

from __future__ import annotations

from tests.chaos.faults import NETWORK_FAULTS, Fault
from tests.chaos.run import RunResult

MAX_VIOLATIONS = 40


def report(result: RunResult) -> str:
    """All sections."""
    checked, kills = result.check, result.kills
    # Network faults lose answers, too: the rate of losses per kill makes sense only without them.
    per_kill = kills and not any(result.injected[fault] for fault in NETWORK_FAULTS)
    rate = f" ({1000 * checked.remote_losses / kills:.0f} for each 1,000 kills)" if per_kill else ""
    rows = [
        f"seed {result.seed}: {result.seconds:.0f} s, of which {result.settled_after:.0f} s after the last fault",
        "",
        "faults injected",
    ]
    rows += [f"  {fault:<42}{result.injected[fault]:>6}" for fault in Fault]
    rows += ["crash points reached"]
    rows += [f"  {crash_point:<42}{count:>6}" for crash_point, count in sorted(result.crashes.items())]
    rows += ["ended by themselves and restarted"] if result.exits else []
    rows += [f"  {name:<42}{count:>6}" for name, count in sorted(result.exits.items())]
    rows += ["errors in the log that the faults explain"] if result.log.allowed else []
    rows += [f"  {count:>6}  {reason}" for reason, count in sorted(result.log.allowed.items())]
    figures = {
        "faults injected": result.injected.total(),
        "kills": kills,
        "jobs": len(result.workload.jobs),
        "envelopes": sum(count for status, count in checked.statuses.items() if not status.startswith("crawl")),
        "crawls": len(result.workload.crawls),
        "pages": checked.pages,
        **{f"  {status}": count for status, count in sorted(checked.statuses.items())},
        "duplicates": checked.duplicates,
        "lost": checked.lost,
        "wrong": checked.wrong,
        "pages that the remote gave up delivering, reported as missing": checked.undelivered,
        "jobs submitted more than once though their dial asks for none": checked.resubmitted,
        "results lost at the remote": f"{checked.remote_losses}{rate}",
        "entries that killed consumers read again": result.reread,
        "messages that clients sent again": result.resent,
        "longest delay": f"{checked.longest:.1f} s ({checked.longest_url})",
    }
    rows += ["", *(f"{name:<66}{value}" for name, value in figures.items()), ""]
    rows += [f"violations: {len(result.violations)}"]
    rows += [f"  {violation}" for violation in result.violations[:MAX_VIOLATIONS]]
    return "\n".join(rows)
