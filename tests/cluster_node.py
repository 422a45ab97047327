"""A real server that runs as a node of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import free_port
from workers.local.embedded_server import serving

BUS = 10_000
"""The nodes talk to each other on the port so far above their own."""
LAST_PORT = 65_535


@contextmanager
def cluster_node(folder: Path) -> Iterator[str]:
    """Its address, while the block runs."""
    port = next(port for port in iter(free_port, None) if port + BUS <= LAST_PORT)
    with serving(port, options=("--cluster-enabled", "yes", "--dir", str(folder))) as url:
        yield url
