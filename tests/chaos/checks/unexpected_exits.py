"""Processes that ended, or did not end, without having been asked to. Each that is allowed has its reason here."""

from __future__ import annotations

import re
from collections.abc import Mapping

ALLOWED = {
    r"beat2? \(exit (1|69)\)": "RedBeat ends when the server takes no writes, or when it has lost its lock",
    r"worker\d \(exit (1|69)\)": "it ends where there is no server at its start; Celery 5.7 may while it reconnects",
    r"(fetcher|service) \(exit 1\)": "the same",
    r"webhook \(exit 3\)": "uvicorn's exit where the receiver finds no ledger at its start",
}


def unexpected_exits(exits: Mapping[str, int]) -> list[str]:
    """The exits that are not allowed. `exits`: see `Cluster.exits`."""
    return [
        f"{count} times: {name}"
        for name, count in sorted(exits.items())
        if not any(re.fullmatch(pattern, name) for pattern in ALLOWED)
    ]
