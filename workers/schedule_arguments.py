"""Check the arguments in the user's schedules against what the tasks accept, so that a wrong one is found at start and
not when it first runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.schedules import PREFIX
from config.settings import Settings, SettingsError
from longhaul.crawls.arguments import CrawlIntakeRules, read_new_crawl
from longhaul.errors import InvalidArgument, invalid
from longhaul.jobs.arguments import read_batch, read_new_job
from longhaul.work.arguments import IntakeRules

RECEIVER = "http://receiver.invalid"
"""Stands for the receiver, which beat may not know: whether a `callback` is possible is for the workers to judge."""


def check_schedule_arguments(entries: Mapping[str, Mapping[str, Any]], settings: Settings) -> None:
    """Raise `SettingsError` with file and schedule where a task would refuse the arguments of an entry."""
    for name, entry in entries.items():
        if not name.startswith(PREFIX):
            continue
        try:
            _check(entry["task"], entry["kwargs"], settings)
        except InvalidArgument as error:
            raise SettingsError(
                f"{settings.schedules_file}, schedule {name.removeprefix(PREFIX)!r}: arguments: {error}"
            ) from None


def _check(task: str, arguments: Mapping[str, Any], settings: Settings) -> None:
    if task == "jobs.submit":
        read_new_job(arguments, _rules(arguments))
        return
    if task == "crawls.create":
        read_new_crawl(
            arguments, CrawlIntakeRules(_rules(arguments), settings.crawl_max_depth, settings.crawl_max_budget)
        )
        return
    defaults = {name: value for name, value in arguments.items() if name not in {"requests", "partial"}}
    requests = arguments.get("requests")
    partial = arguments.get("partial", False)
    if not isinstance(partial, bool):
        raise invalid("partial", partial, "must be true or false")
    entries = [one for one in requests if isinstance(one, Mapping)] if isinstance(requests, list) else []
    # With `partial`, too: a wrong entry is wrong each time, and nobody reads what was rejected.
    for at, why in read_batch(requests, defaults, _rules(defaults, *entries)).rejected:
        raise InvalidArgument(f"requests[{at}]: {why}")


def _rules(*arguments: Mapping[str, Any]) -> IntakeRules:
    """Intake rules that know every account named in `arguments`, for beat may have no keys."""
    names = {given.get("account", "default") for given in arguments if isinstance(given.get("account", "default"), str)}
    return IntakeRules(accounts=names, receiver=RECEIVER, secret=True)
