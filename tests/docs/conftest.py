"""What a reader has started before the commands of a page can work: everything of `make up`, on free ports."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.reader import Reader
from tests.installation import ROOT, clean_environ, until
from workers.local.stack import Ports, free_ports

# `longhaul up` itself, but for its ports: a person's own may be in use.
UP = """
import sys
from pathlib import Path
from workers.local.stack import Ports, Stack, kept_secret
from workers.local.up import run
data, ports = Path(sys.argv[1]), Ports(*map(int, sys.argv[2:]))
url = f"redis://127.0.0.1:{ports.redis}/0"
run(Stack(ports, url, self_hosted=True, workers=2, secret=kept_secret(data)), data / "ledger")
"""


@dataclass(frozen=True)
class Up:
    """A running installation, the ports that its documented ones stand for, and its data."""

    ports: Ports
    data: Path

    def reader(self, folder: Path) -> Reader:
        """Somebody who follows a page in `folder`."""
        return Reader(
            folder,
            {
                "127.0.0.1:6379": f"127.0.0.1:{self.ports.redis}",
                "127.0.0.1:8080": f"127.0.0.1:{self.ports.service}",
                "127.0.0.1:8090": f"127.0.0.1:{self.ports.receiver}",
            },
        )


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    ports, folder = free_ports(), tmp_path_factory.mktemp("up")
    said = folder / "said"
    numbers = [str(port) for port in (ports.redis, ports.service, ports.receiver, ports.flower)]
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", UP, str(folder / "data"), *numbers],
            cwd=ROOT,
            env=clean_environ(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        # Two workers and the service's.
        until(
            lambda: "Ctrl-C ends it all." in said.read_text() and said.read_text().count("ready.") >= 3,
            "everything up",
            80,
        )
        yield Up(ports, folder / "data")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
