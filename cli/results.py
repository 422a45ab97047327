"""`longhaul results`: read a results queue and remove what was read."""

from __future__ import annotations

import socket
import sys
from typing import Any

import click

from cli.client import opened_runtime
from longhaul.ledger.results import Reader
from longhaul.process.terminal import rows, shortened

GROUP = "longhaul"
IDLE_SECONDS = 60.0
"""After this long, entries that another reader took and did not acknowledge are taken over."""
BLOCK_SECONDS = 1.0


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--queue", default="results", show_default=True)
@click.option("--group", default=GROUP, show_default=True, help="The group of consumers to read as.")
def results(*, follow: bool, queue: str, group: str) -> None:
    """Read envelopes and remove them from their queue: whole as JSON lines in a pipe, shortened on a terminal."""
    with opened_runtime() as runtime:
        try:
            reader = Reader(runtime.redis, queue, group, f"{socket.gethostname()}-cli")
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        try:
            while True:
                # First, whatever an earlier reader took and did not acknowledge.
                entries = reader.take_over(IDLE_SECONDS) or reader.read(block=BLOCK_SECONDS if follow else None)
                for entry in entries:
                    _print_envelope(entry.envelope)
                # Only what has left this process is removed.
                sys.stdout.flush()
                reader.acknowledge(entries)
                if not entries and not follow:
                    return
        except KeyboardInterrupt:
            return


def _print_envelope(document: dict[str, Any]) -> None:
    if sys.stdout.isatty():
        rows(["id", "status", "url", "body"], [shortened(document)])
    else:
        rows([], [document])
