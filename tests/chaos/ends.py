"""Processes that ended, or did not end, though nobody asked them to. Those that may stand here, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping

ALLOWED = {
    r"beat2? \(exit (1|69)\)": "RedBeat ends without a server that takes its writes, or without its lock",
    r"worker\d \(exit (1|69)\)": "who starts while the server is away says so and ends; Celery 5.7 may while it reconnects",
    r"(fetcher|service) \(exit 1\)": "likewise",
}


def strange_ends(by_itself: Mapping[str, int]) -> list[str]:
    """What should not be: see `Plant.by_itself`."""
    return [
        f"{count} times: {name}"
        for name, count in sorted(by_itself.items())
        if not any(re.fullmatch(one, name) for one in ALLOWED)
    ]
