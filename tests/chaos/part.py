"""Run one of our processes with a shifted clock and crash points: `python -m tests.chaos.part celery -A workers.app
worker`.

`CHAOS_CLOCK`: seconds by which its wall clock is wrong. `CHAOS_CRASH_FILE`: a file; when it appears, with `<n> <crash
point>` in it, the process kills itself when it passes that point for the n-th time from then on. The crash points are
those of `tests.flow.crash_points`: before and after each method of each collaborator, and around each answer that was
read. The product knows nothing of either.
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

CLOCK, CRASH_FILE = "CHAOS_CLOCK", "CHAOS_CRASH_FILE"
POLL_SECONDS = 0.1


def shift_clock(seconds: float) -> None:
    """Shift this process's wall clock, before any module has imported it; monotonic time stays right, as in life."""
    real_time, real_datetime = time.time, dt.datetime

    class AcceptsReal(type):
        # Instances that C code makes are of the real class.
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real_datetime)

    class ShiftedDatetime(real_datetime, metaclass=AcceptsReal):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return real_datetime.now(tz) + dt.timedelta(seconds=seconds)

        @classmethod
        def utcnow(cls) -> dt.datetime:
            return cls.now(dt.UTC).replace(tzinfo=None)

    time.time = lambda: real_time() + seconds
    dt.datetime = ShiftedDatetime  # type: ignore[misc]


class CrashTrigger:
    """Kills the process at the crash point that the file names; does nothing while there is no file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._crash_point = ""
        self._left = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._poll, daemon=True).start()

    def cross(self, name: str) -> None:
        """Called by every thread at every crash point."""
        if name != self._crash_point:
            return
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                # The restarted process must not die as well.
                self._file.unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGKILL)

    def _poll(self) -> None:
        known = ""
        while True:
            text = ""
            with suppress(FileNotFoundError):
                text = self._file.read_text()
            if text != known:
                left, _, crash_point = text.partition(" ")
                self._left, self._crash_point = int(left or 0), crash_point
                known = text
            time.sleep(POLL_SECONDS)


def wrap(trigger: CrashTrigger) -> None:
    """Put crash points around every collaborator of this process's runtime."""
    # Imported only now, when the clock is set.
    from tasks.plumbing import runtime as composition  # noqa: PLC0415
    from tests.flow.crash_points import Around  # noqa: PLC0415

    build = composition.build

    def build_wrapped(settings: object) -> object:
        made = build(settings)
        stores = {name: Around(runner.store, trigger) for name, runner in made.runners.items()}
        parts = {
            name: {
                "store": stores[name],
                "decider": Around(runner.decider, trigger),
                "on_applied": Around(runner, trigger).on_applied,
            }
            for name, runner in made.runners.items()
        }
        remotes = {name: Around(runner.remote, trigger) for name, runner in made.runners.items()}
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

    composition.build = build_wrapped


def main() -> None:
    """Run the module that is named, as `python -m` would."""
    if CLOCK in os.environ:
        shift_clock(float(os.environ[CLOCK]))
    if CRASH_FILE in os.environ:
        wrap(CrashTrigger(Path(os.environ[CRASH_FILE])))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
