"""Child processes as one: started together, one log stream with a name before each line, kept running, ended in order.

Each child has a session of its own, so that Ctrl-C reaches only the parent, which then ends them one after the other:
those that bring work first, the ledger last.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Self

import requests

READY_WITHIN = 60.0
RESTART_PAUSE = 2.0
QUICK = 10.0
QUICK_ENDS = 5
LAST_SECONDS = 4.0
"""What a part gets that is told to stop a second time; it wants two."""
WIDTH = 8


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep running. `health`: an address that answers 200 once the part is ready. `grace`: seconds to
    finish after SIGTERM.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    health: str | None = None
    grace: float = 30.0


class PartFailed(Exception):
    """A part does not start, or ends again and again."""


@dataclass(slots=True)
class _Child:
    part: Part
    process: subprocess.Popen[bytes]
    started: float
    quick_ends: int = 0


class Processes:
    """A context: on leaving it every process that it started has ended. `show` is given each line of a part's output,
    with its name.
    """

    def __init__(self, show: Callable[[str, str], None]) -> None:
        self._show = show
        self._children: list[_Child] = []
        self._readers: list[threading.Thread] = []
        self._aborting = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The last started are the first to go; nothing that a part needs goes before it.
        for child in reversed(self._children):
            self._end(child)
        for reader in self._readers:
            reader.join(timeout=5)

    def start(self, parts: Sequence[Part]) -> None:
        """Start parts at once, and wait until those with a health address are ready; raises `PartFailed`."""
        for part in parts:
            self._children.append(_Child(part, self._run(part), time.monotonic()))
        until = time.monotonic() + READY_WITHIN
        for part in parts:
            while part.health and not _healthy(part.health):
                self._check()
                if time.monotonic() > until:
                    raise PartFailed(
                        f"{part.name} is not ready after {READY_WITHIN:g} s: {part.health} does not answer"
                    )
                time.sleep(0.05)

    def keep(self) -> None:
        """Start again what has ended; to be called now and then. Raises `PartFailed` for a part that ends at once each
        time.
        """
        for child in self._children:
            code = child.process.poll()
            if code is None:
                continue
            lived = time.monotonic() - child.started
            child.quick_ends = child.quick_ends + 1 if lived < QUICK else 0
            if child.quick_ends >= QUICK_ENDS:
                raise PartFailed(
                    f"{child.part.name} ended {QUICK_ENDS} times within {QUICK:g} s of its start (exit {code})"
                )
            self._show(child.part.name, f"ended (exit {code}); starting it again")
            time.sleep(RESTART_PAUSE)
            child.process, child.started = self._run(child.part), time.monotonic()

    def abort_pending(self) -> None:
        """End quickly: a part that takes its time is told a second time. From a signal's handler, or another thread."""
        self._aborting = True

    def _end(self, child: _Child) -> None:
        process = child.process
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        until, told_again = time.monotonic() + child.part.grace, False
        while time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
                return
            if self._aborting and not told_again:
                process.send_signal(signal.SIGTERM)
                until, told_again = time.monotonic() + LAST_SECONDS, True
        process.kill()
        process.wait()

    def _check(self) -> None:
        for child in self._children:
            if child.process.poll() is not None:
                raise PartFailed(
                    f"{child.part.name} ended while starting (exit {child.process.returncode}); its last lines are above"
                )

    def _run(self, part: Part) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603  (our own command lines)
            part.command,
            env={**os.environ, **part.env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101  (PIPE above)
        reader = threading.Thread(target=self._read, args=(part.name, process.stdout), daemon=True)
        reader.start()
        self._readers.append(reader)
        return process

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._show(name, line.decode(errors="replace").rstrip())


def to_stderr(name: str, line: str) -> None:
    """One log stream: the part's name before each line."""
    if line:
        sys.stderr.write(f"{name:<{WIDTH}} | {line}\n")


def _healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
