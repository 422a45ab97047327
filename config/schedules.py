"""The user's own recurring work: `schedules.toml`, checked at start with the line that is wrong.

[[schedule]]
name = "front page"
every = 900                      # seconds, or: cron = "*/15 6-22 * * mon-fri" (UTC)
task = "jobs.submit"             # the default
arguments = { url = "https://example.com/", queue = "front" }
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from celery.schedules import BaseSchedule, ParseException, crontab, schedule

from config.settings import SettingsError

TASKS = ("jobs.submit", "jobs.submit_batch", "crawls.create")
PREFIX = "schedule:"
"""What the names of the user's own entries begin with."""
KEYS = {"name", "cron", "every", "task", "arguments"}
CRON_FIELDS = 5
SHORTEST = 1.0


def read_schedules(path: Path) -> dict[str, dict[str, Any]]:
    """Beat entries from the file; raises `SettingsError` with file, line and remedy."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"LONGHAUL_SCHEDULES_FILE: {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*schedule\s*\]\]", line)]
    entries: dict[str, dict[str, Any]] = {}
    if extra := set(document) - {"schedule"}:
        raise SettingsError(f"{path}: unknown table or key `{min(extra)}`: the file has [[schedule]] tables only")
    tables = document.get("schedule", [])
    # As many tables as headings: a list in brackets, `schedule = [{...}]`, has no lines to name.
    if not isinstance(tables, list) or len(tables) != len(lines):
        raise SettingsError(
            f"{path}: `schedule` must be a list of tables: write [[schedule]], in double brackets, above each"
        )
    for table, line in zip(tables, lines, strict=True):
        try:
            name, entry = _entry(table, entries)
        except ValueError as error:
            raise SettingsError(f"{path}, line {_line(text, line, str(error))}: {error}") from None
        entries[name] = entry
    return entries


def _entry(table: dict[str, Any], taken: Collection[str]) -> tuple[str, dict[str, Any]]:
    if extra := set(table) - KEYS:
        raise ValueError(f"{min(extra)}: unknown key; those are {', '.join(sorted(KEYS))}")
    name, task, arguments = table.get("name"), table.get("task", "jobs.submit"), table.get("arguments", {})
    if not isinstance(name, str) or not name:
        raise ValueError("name: must be a non-empty string")
    if PREFIX + name in taken:
        raise ValueError(f"name: {name!r} is there twice; names must differ")
    if task not in TASKS:
        raise ValueError(f"task: {task!r}: must be one of {', '.join(TASKS)}")
    if not isinstance(arguments, dict):
        raise ValueError("arguments: must be a table of the task's keyword arguments")
    return PREFIX + name, {"task": task, "schedule": _when(table), "kwargs": arguments}


def _when(table: dict[str, Any]) -> BaseSchedule:
    if ("cron" in table) == ("every" in table):
        raise ValueError("cron or every: exactly one of them must be set")
    if "every" in table:
        every = table["every"]
        if isinstance(every, bool) or not isinstance(every, int | float) or every < SHORTEST:
            raise ValueError(f"every: {every!r}: must be a number of seconds, at least {SHORTEST:g}")
        return schedule(run_every=every)
    fields = str(table["cron"]).split()
    if len(fields) != CRON_FIELDS:
        raise ValueError(f"cron: {table['cron']!r}: must have five fields: minute hour day-of-month month day-of-week")
    minute, hour, day_of_month, month_of_year, day_of_week = fields
    try:
        return crontab(minute, hour, day_of_week, day_of_month, month_of_year)
    except (ParseException, ValueError) as error:
        raise ValueError(f"cron: {table['cron']!r}: {error}") from None


def _line(text: str, start: int, error: str) -> int:
    """The line of the key that the error begins with, else of its table."""
    key = error.partition(":")[0]
    lines = text.splitlines()
    for number in range(start, len(lines)):
        if lines[number].lstrip().startswith("[["):
            break
        if re.match(rf"\s*{re.escape(key)}\s*=", lines[number]):
            return number + 1
    return start
