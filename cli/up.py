"""`longhaul up`: everything on one machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from workers.lifecycle import exit_with_reason
from workers.local.stack import Ports, Stack, is_self_hosted, kept_secret
from workers.local.up import run


@click.command()
@click.option("--workers", default=2, show_default=True, help="Worker processes; one for each core.")
@click.option(
    "--data",
    default=Path(".longhaul"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where jobs live.",
)
@click.option("--redis-port", default=Ports().redis, show_default=True, help="Port of the embedded server.")
def up(workers: int, data: Path, redis_port: int) -> None:
    """Run everything on this machine until Ctrl-C: server, service, workers, beat, Flower, receiver."""
    with exit_with_reason():
        ports = Ports(redis=redis_port)
        given = os.environ.get("LONGHAUL_REDIS_URL")
        url = given or f"redis://127.0.0.1:{redis_port}/0"
        # An embedded server is the broker as well; a user's own ledger may have a separate broker.
        broker = os.environ.get("LONGHAUL_BROKER_URL", "") if given else ""
        local = Stack(ports, url, is_self_hosted(os.environ), workers, kept_secret(data), broker)
        run(local, None if given else data / "ledger")
