"""The table of a run, for people."""

from __future__ import annotations

from tests.chaos.harms import OF_NETWORK, Harm
from tests.chaos.run import Outcome

MOST_FAULTS = 40


def table(outcome: Outcome) -> str:
    """All of it."""
    judgement, kills = outcome.judgement, outcome.kills
    # The network's harms destroy answers as well: only without them is it the kills that lose them.
    by_kills = kills and not any(outcome.done[harm] for harm in OF_NETWORK)
    rate = f" ({1000 * outcome.losses / kills:.0f} for each 1,000 kills)" if by_kills else ""
    rows = [
        f"seed {outcome.seed}: {outcome.seconds:.0f} s, the last {outcome.settled:.0f} s of harm's wake",
        "",
        "harms",
    ]
    rows += [f"  {harm:<42}{outcome.done[harm]:>6}" for harm in Harm]
    rows += ["met aims"]
    rows += [f"  {crossing:<42}{count:>6}" for crossing, count in sorted(outcome.aimed.items())]
    rows += ["ended by themselves, and started again"] if outcome.by_itself else []
    rows += [f"  {name:<42}{count:>6}" for name, count in sorted(outcome.by_itself.items())]
    rows += ["errors in the log that are the harm itself"] if outcome.logbook.allowed else []
    rows += [f"  {count:>6}  {reason}" for reason, count in sorted(outcome.logbook.allowed.items())]
    figures = {
        "harms": outcome.done.total(),
        "kills": kills,
        "jobs": len(outcome.cargo.jobs),
        "envelopes": sum(count for status, count in judgement.statuses.items() if not status.startswith("crawl")),
        "crawls": len(outcome.cargo.crawls),
        "pages": judgement.pages,
        **{f"  {status}": count for status, count in sorted(judgement.statuses.items())},
        "duplicates": judgement.doubled,
        "lost": judgement.lost,
        "wrong": judgement.wrong,
        "pages that the remote gave up to tell, and that are said to be missing": judgement.untold,
        "resubmissions (jobs with submissions > 1 though the dial asks for none)": judgement.resubmitted,
        "bodies lost at the remote": f"{outcome.losses}{rate}",
        "entries that killed consumers read again": outcome.read_again,
        "messages that callers sent again": outcome.sent_again,
        "longest delay": f"{judgement.longest:.1f} s ({judgement.longest_url})",
    }
    rows += ["", *(f"{name:<74}{value}" for name, value in figures.items()), "", f"faults: {len(outcome.faults)}"]
    rows += [f"  {fault}" for fault in outcome.faults[:MOST_FAULTS]]
    return "\n".join(rows)
