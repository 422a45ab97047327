"""Break one guard at a time, in copies of the tree, and ask the tests."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import psutil

from tests.mutate.catalogue import ROOT, STAGES, Mutation

LIMIT = 100.0
"""Seconds for the tests of one stage: several times what any takes, and less than pytest gives to a single test."""
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:randomly", "-p", "no:cacheprovider")
PASSED, FAILED = 0, 1
TIME_OUT = "time-out"


class TestsBrokenError(Exception):
    """The tests fail without any mutation, or cannot run with one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutation: `stage` is the kind of tests that saw it, `by` the test; both empty if it survived."""

    mutation: Mutation
    stage: str
    by: str
    seconds: float


def run(mutations: Sequence[Mutation], folder: Path, jobs: int) -> Iterator[Outcome]:
    """Try the mutations in `jobs` copies of the tree below `folder`, as many at a time; each outcome once it is known.

    Raises `CatalogueError` and `TestsBrokenError`.
    """
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(jobs):
        copies.put(_copy(folder / str(number)))

    def unbroken(tests: Sequence[str]) -> str:
        copy = copies.get()
        try:
            return _first_failure(copy, tests)
        finally:
            copies.put(copy)

    def broken(mutation: Mutation) -> Outcome:
        copy = copies.get()
        try:
            return _outcome(copy, mutation)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for failed in pool.map(unbroken, _tests_by_stage(mutations)):
                if failed:
                    raise TestsBrokenError(f"without any mutation: {failed}")
            for outcome in as_completed([pool.submit(broken, one) for one in mutations]):
                yield outcome.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            _kill(psutil.Process().children(recursive=True))


def _copy(folder: Path) -> Path:
    """The files that git knows or would add, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _tests_by_stage(mutations: Sequence[Mutation]) -> list[list[str]]:
    """All tests that the mutations name, each once; the stage that takes longest first."""
    return [
        list(dict.fromkeys(test for one in mutations for test in one.stages.get(stage, ()))) for stage in STAGES[::-1]
    ]


def _outcome(copy: Path, mutation: Mutation) -> Outcome:
    began = time.monotonic()
    file = copy / mutation.file
    source = file.read_text()
    _write(file, mutation.mutated(source))
    try:
        for stage, tests in mutation.stages.items():
            try:
                by = _first_failure(copy, tests)
            except TestsBrokenError as error:
                raise TestsBrokenError(f"{mutation}: {error}") from None
            if by:
                return Outcome(mutation, stage, by, time.monotonic() - began)
        return Outcome(mutation, "", "", time.monotonic() - began)
    finally:
        _write(file, source)


def _write(file: Path, source: str) -> None:
    file.write_text(source)
    # Python takes a compiled file for the present one by size and second.
    Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)


def _first_failure(copy: Path, tests: Sequence[str]) -> str:
    """The first of the tests that fails, with its error, or `TIME_OUT`; empty where all pass."""
    if not tests:
        return ""
    # Settings in the environment are another installation's.
    own = {name: value for name, value in os.environ.items() if not name.startswith("LONGHAUL_")}
    process = subprocess.Popen(
        [*PYTEST, *tests],
        cwd=copy,
        env=own | {"COLUMNS": "240"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        # Its server as well.
        _kill([*psutil.Process(process.pid).children(recursive=True), process])
        process.communicate()
        return TIME_OUT
    if process.returncode == PASSED:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (.*)", output, re.MULTILINE)
    if process.returncode != FAILED or failed is None:
        raise TestsBrokenError(f"pytest ended with {process.returncode}:\n{output[-3000:]}")
    return failed[1]


def _kill(processes: Sequence[psutil.Process | subprocess.Popen[str]]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
