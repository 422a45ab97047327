"""`make pythons`: run the unit tests that start no process on each supported Python that is installed here.

Each gets a virtual environment of its own, in a temporary folder, with the pinned packages. Interpreters are searched
for on the PATH and among pyenv's; others can be named: `python -m tests.pythons /path/of/python3.14`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
CLASSIFIERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
SUPPORTED = [name.rpartition(" ")[2] for name in CLASSIFIERS if name.startswith("Programming Language :: Python ::")]
VERSION = "import platform; print(platform.python_version())"


def version(python: Path) -> str:
    """The version of an interpreter; empty where it does not run."""
    try:
        done = subprocess.run([python, "-c", VERSION], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def interpreters() -> Iterator[Path]:
    """Interpreters on this machine, whether they run or not."""
    yield Path(sys.executable)
    for supported in SUPPORTED:
        if path := shutil.which(f"python{supported}"):
            yield Path(path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/*/bin/python"))


def run(python: Path) -> tuple[str, str]:
    """Run the tests on this interpreter; (what came of it, the output where something failed)."""
    with tempfile.TemporaryDirectory(prefix="longhaul-python-") as folder:
        own = Path(folder) / "bin" / "python"
        # Our own pip, because Debian's interpreters have none without another package.
        pip = [sys.executable, "-m", "pip", "--python", own, "install", "--quiet", "--disable-pip-version-check"]
        steps = [
            [python, "-m", "venv", "--without-pip", folder],
            [*pip, "--require-hashes", "--only-binary=:all:", "-r", "requirements.txt", "-r", "requirements-dev.txt"],
            [*pip, "--no-deps", "--no-build-isolation", "--editable", "."],
            [own, "-m", "pytest", "-q", "-n", "2", "--no-processes", "-p", "no:cacheprovider", "tests/unit"],
        ]
        for step in steps:
            done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                return "failed: " + " ".join(map(str, step[1:4])), done.stdout[-10_000:] + done.stderr[-2_000:]
        return re.sub(r"=+ ?| in .*", "", done.stdout.strip().splitlines()[-1]), ""


@click.command(help=__doc__)
@click.argument("pythons", nargs=-1, type=click.Path(path_type=Path))
def main(pythons: tuple[Path, ...]) -> None:
    by_version: dict[str, tuple[str, Path]] = {}
    for python in pythons or interpreters():
        whole = version(python)
        by_version.setdefault(".".join(whole.split(".")[:2]), (whole, python))
    console = Console()
    table = Table("Python", "version", "result", "seconds")
    bad = False
    for supported in SUPPORTED:
        if supported not in by_version:
            table.add_row(supported, "not installed", "", "")
            continue
        whole, python = by_version[supported]
        console.print(f"Python {whole} ...")
        began = time.monotonic()
        result, output = run(python)
        table.add_row(supported, whole, result, f"{time.monotonic() - began:.0f}")
        if output:
            bad = True
            console.print(output, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    sys.exit(bad)


if __name__ == "__main__":
    main()
