"""Somebody who follows a page of the documentation: saves its programs and runs its commands, in a folder of his own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.installation import ROOT, clean_environ

BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# (\w+\.py)\n")
WITHIN = 60


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block of a page in Markdown."""
    return BLOCK.findall(page)


@dataclass
class Reader:
    """`folder` is where the clone's files seem to be; `addresses` replaces those of a page by those in use."""

    folder: Path
    addresses: Mapping[str, str] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Lay out the folder like a clone after `make up`."""
        bin_ = self.folder / ".venv" / "bin"
        bin_.mkdir(parents=True)
        for name, command in {"python": "", "longhaul": " -m cli.main", "celery": " -m celery"}.items():
            (bin_ / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
            (bin_ / name).chmod(0o755)
        (self.folder / "examples").symlink_to(ROOT / "examples")
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def here(self, text: str) -> str:
        """A text of the page with the addresses in use."""
        for documented, used in self.addresses.items():
            text = text.replace(documented, used)
        return text

    def save(self, program: str) -> Path:
        """Save a program under the name in its first line."""
        found = NAME.match(program)
        assert found, program
        path = self.folder / found[1]
        path.write_text(self.here(program))
        return path

    def run(self, commands: str) -> str:
        """Run commands as a shell does; their output. A failure is one of the test."""
        ended = subprocess.run(
            ["/bin/sh", "-euc", self.here(commands)],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert ended.returncode == 0, f"{commands}\n{ended.stdout}\n{ended.stderr}"
        # Nothing that a reader would have to wonder about, at the exit either.
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.stdout

    def keep_running(self, command: str) -> subprocess.Popen[str]:
        """Start a command that runs until the end, as in a terminal of its own."""
        line = ["/bin/sh", "-euc", f"exec {self.here(command)}"]
        process = subprocess.Popen(line, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True)
        self._open.enter_context(process)
        self._open.callback(process.terminate)
        return process

    @property
    def env(self) -> dict[str, str]:
        """A reader's environment: the settings are those that the page names."""
        ledger = self.here("redis://127.0.0.1:6379/0")
        return {**clean_environ(), "PYTHONPATH": str(ROOT), "LONGHAUL_REDIS_URL": ledger, "HOME": os.environ["HOME"]}
