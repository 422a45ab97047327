"""The one error tree.

    LonghaulError
    ├── InvalidArgument      a caller's argument breaks a rule: names the argument, the value and the rule
    ├── WriteRefused         an event cannot be taken, for its record takes no write: names the record
    └── PreflightFailed      a part that this process needs does not answer: names it, and what to do

What the remote answers is not an error but an outcome: see `models`. A wrong setting is
`config.settings.SettingsError`, because `config` imports none of ours. Each class is raised with one finished sentence, because a
Celery result carries no more than the class's name and its arguments to the caller.
"""

from __future__ import annotations

SHOWN = 120


class LonghaulError(Exception):
    """Anything that Longhaul raises on purpose."""


class InvalidArgument(LonghaulError):
    """A caller's argument breaks a rule; nothing was recorded."""


class WriteRefused(LonghaulError):
    """An event cannot be taken, for its record takes no write; whoever pushed it has to push it again."""


class PreflightFailed(LonghaulError):
    """A part that this process needs does not answer; the process does not start."""


def invalid(argument: str, value: object, rule: str) -> InvalidArgument:
    """The error for `argument`, showing at most 120 characters of `value`."""
    shown = repr(value)
    if len(shown) > SHOWN:
        shown = f"{shown[:SHOWN]}… ({len(shown)} characters)"
    return InvalidArgument(f"{argument}: {shown}: {rule}")
