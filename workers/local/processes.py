"""Child processes run as one: started together, one log stream with a name before each line, restarted, ended in order.

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

READY_SECONDS = 60.0
RESTART_PAUSE_SECONDS = 2.0
SHORT_LIFE_SECONDS = 10.0
MAX_SHORT_LIVES = 5
"""A part that ends so often in a row within `SHORT_LIFE_SECONDS` of its start is given up."""
LAST_SECONDS = 4.0
"""What a part gets after a second SIGTERM; a worker needs two."""
NAME_COLUMNS = 8


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
    """A part does not start, or keeps ending."""


@dataclass(slots=True)
class _Child:
    part: Part
    process: subprocess.Popen[bytes]
    started: float
    short_lives: int = 0


class Processes:
    """A context: when it is left, every process that it started has ended. `show` gets a part's name and each line of
    its output.
    """

    def __init__(self, show: Callable[[str, str], None]) -> None:
        self._show = show
        self._children: list[_Child] = []
        self._readers: list[threading.Thread] = []
        self._aborting = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # In reverse order of starting: nothing that a part needs ends before it.
        for child in reversed(self._children):
            self._end(child)
        for reader in self._readers:
            reader.join(timeout=5)

    def start(self, parts: Sequence[Part]) -> None:
        """Start parts at once, and wait until those with a health address are ready; raises `PartFailed`."""
        for part in parts:
            self._children.append(_Child(part, self._run(part), time.monotonic()))
        until = time.monotonic() + READY_SECONDS
        for part in parts:
            while part.health and not _healthy(part.health):
                self._check()
                if time.monotonic() > until:
                    raise PartFailed(
                        f"{part.name} is not ready after {READY_SECONDS:g} s: {part.health} does not answer"
                    )
                time.sleep(0.05)

    def keep(self) -> None:
        """Restart what has ended; to be called regularly. Raises `PartFailed` for a part that keeps ending."""
        for child in self._children:
            code = child.process.poll()
            if code is None:
                continue
            lived = time.monotonic() - child.started
            child.short_lives = child.short_lives + 1 if lived < SHORT_LIFE_SECONDS else 0
            if child.short_lives >= MAX_SHORT_LIVES:
                raise PartFailed(
                    f"{child.part.name} ended {MAX_SHORT_LIVES} times within {SHORT_LIFE_SECONDS:g} s of its start "
                    f"(exit {code})"
                )
            self._show(child.part.name, f"ended (exit {code}); starting it again")
            time.sleep(RESTART_PAUSE_SECONDS)
            child.process, child.started = self._run(child.part), time.monotonic()

    def abort_pending(self) -> None:
        """End quickly: send a second SIGTERM to a part that takes long. May be called from a signal handler."""
        self._aborting = True

    def _end(self, child: _Child) -> None:
        process = child.process
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        until, repeated = time.monotonic() + child.part.grace, False
        while time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
                return
            if self._aborting and not repeated:
                process.send_signal(signal.SIGTERM)
                until, repeated = time.monotonic() + LAST_SECONDS, True
        process.kill()
        process.wait()

    def _check(self) -> None:
        for child in self._children:
            if child.process.poll() is not None:
                raise PartFailed(
                    f"{child.part.name} ended while starting (exit {child.process.returncode}); "
                    "its last lines are above"
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
    """Write a line of a part to the common log stream, its name first."""
    if line:
        sys.stderr.write(f"{name:<{NAME_COLUMNS}} | {line}\n")


def _healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
