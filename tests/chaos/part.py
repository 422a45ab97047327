"""A process of ours as it is, but for its clock and the moment of its death: `python -m tests.chaos.part celery -A
workers.app worker`.

`CHAOS_CLOCK` is by how many seconds its wall clock is wrong. `CHAOS_AIM` names a file: when it appears, with `<n>
<crossing>` in it, the process kills itself at the n-th such crossing from then on. The crossings are those of
`tests.flow.crash_points`: before and after each method of each collaborator, and around each answer that was read. The
product knows nothing of either.
"""

from __future__ import annotations

import datetime as dt
import os
import runpy
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

CLOCK, AIM = "CHAOS_CLOCK", "CHAOS_AIM"
LOOKS_EVERY = 0.1


def shift_clock(seconds: float) -> None:
    """Make this process's wall clock wrong, before anything has taken hold of it; monotonic time stays right, as in
    life.
    """
    right, right_datetime = time.time, dt.datetime

    class Likeness(type):
        # What C code makes is of the true class.
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, right_datetime)

    class Wrong(right_datetime, metaclass=Likeness):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return right_datetime.now(tz) + dt.timedelta(seconds=seconds)

        @classmethod
        def utcnow(cls) -> dt.datetime:
            return cls.now(dt.UTC).replace(tzinfo=None)

    time.time = lambda: right() + seconds
    dt.datetime = Wrong  # type: ignore[misc]


class Aim:
    """Seams that count nothing until they are told where to kill."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._crossing = ""
        self._left = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._look, daemon=True).start()

    def cross(self, name: str) -> None:
        """Called at every crossing of every thread."""
        if name != self._crossing:
            return
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                # That it is gone says that the aim was met.
                self._file.unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGKILL)

    def _look(self) -> None:
        taken = ""
        while True:
            text = ""
            with suppress(FileNotFoundError):
                text = self._file.read_text()
            if text != taken:
                left, _, crossing = text.partition(" ")
                self._left, self._crossing = int(left or 0), crossing
                taken = text
            time.sleep(LOOKS_EVERY)


def wrap(aim: Aim) -> None:
    """Make every collaborator of this process's runtime a seam."""
    # Not before the clock is set.
    from tasks.plumbing import runtime as composition  # noqa: PLC0415
    from tests.flow.crash_points import Around  # noqa: PLC0415

    build = composition.build

    def tracked(settings: object) -> object:
        made = build(settings)
        stores = {name: Around(runner.store, aim) for name, runner in made.runners.items()}
        parts = {
            name: {
                "store": stores[name],
                "decider": Around(runner.decider, aim),
                "on_applied": Around(runner, aim).on_applied,
            }
            for name, runner in made.runners.items()
        }
        remotes = {name: Around(runner.remote, aim) for name, runner in made.runners.items()}
        return replace(
            made,
            runners={
                name: replace(runner, remote=remotes[name], **parts[name]) for name, runner in made.runners.items()
            },
            jobs=stores["jobs"],
            job_pushes=replace(made.job_pushes, **parts["jobs"]),
            crawls=stores["crawls"],
            crawl_pushes=replace(made.crawl_pushes, remote=remotes["crawls"], **parts["crawls"]),
        )

    composition.build = tracked


def main() -> None:
    """Run the module that is named, as `python -m` would."""
    if CLOCK in os.environ:
        shift_clock(float(os.environ[CLOCK]))
    if AIM in os.environ:
        wrap(Aim(Path(os.environ[AIM])))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
