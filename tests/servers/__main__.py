"""`make servers`: the unit, model, flow and crawl tests on each server, and a table of what passed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import click
from rich.console import Console
from rich.table import Table

from tests.servers.registry import PACKAGES, ROOT, install_ends, on_path
from workers.local.embedded_server import TEST_SERVER, inspect_server

TESTS = (
    *("tests/unit", "tests/model", "tests/flow", "tests/contract"),
    *("tests/system/workers/test_crawls.py", "tests/system/service/crawls"),
)
COLUMNS = ("server", "version", "passed", "failed", "seconds")


def servers() -> Iterator[tuple[str, Path | None, str]]:
    """(server, its binary or None, why it can't be had): those on the PATH, then from the oldest to the newest."""
    found = on_path()
    for path in found:
        yield f"{path.name} on the PATH", path, ""
    if not found:
        yield "redis-server on the PATH", None, "none is installed"
    for package in PACKAGES:
        reason = package.install()
        yield package.server, package.path(), reason


def run(binary: Path, tests: tuple[str, ...]) -> tuple[int, list[str], float, str]:
    """Run the tests on a server: (how many passed, the names of those that failed, seconds, the end of the output)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        line = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", f"--junitxml={report}", *tests]
        began = time.monotonic()
        done = subprocess.run(
            line, cwd=ROOT, env={**os.environ, TEST_SERVER: str(binary)}, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - began
        cases = list(ET.parse(report).iter("testcase")) if report.is_file() else []  # noqa: S314  (ours)
    failed = [f"{case.get('classname')}::{case.get('name')}" for case in cases if case.find("failure") is not None]
    failed += [f"{case.get('classname')}::{case.get('name')}" for case in cases if case.find("error") is not None]
    passed = len(cases) - len(failed)
    if done.returncode and not failed:
        failed = [f"pytest ended with exit code {done.returncode}"]
    return passed, failed, seconds, done.stdout[-10_000:] + done.stderr[-2_000:]


@click.command(help=__doc__)
@click.option(
    "--install", is_flag=True, help="Only install the oldest and the newest server that this machine can have."
)
@click.option("--server", "wanted", multiple=True, help="Only this server, such as 'Redis 6.2'; may be repeated.")
@click.argument("tests", nargs=-1)
def main(install: bool, wanted: tuple[str, ...], tests: tuple[str, ...]) -> None:
    if install:
        for line in install_ends():
            click.echo(f"Not tested on {line}")
        return
    console = Console()
    table = Table(*COLUMNS)
    bad = False
    for server, binary, reason in servers():
        if wanted and server not in wanted:
            continue
        if binary is None:
            table.add_row(server, f"not here: {reason}", "", "", "")
            continue
        said = inspect_server(str(binary))
        console.print(f"{server}: {said} ...", soft_wrap=True)
        passed, failed, seconds, output = run(binary, tests or TESTS)
        table.add_row(server, f"{said.name} {said.version}", str(passed), str(len(failed)), f"{seconds:.0f}")
        if failed:
            bad = True
            console.print(output, *failed, sep="\n", markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    sys.exit(bad)


if __name__ == "__main__":
    main()
