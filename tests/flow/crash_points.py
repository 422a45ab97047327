"""Crash points: each method of a collaborator is one, before it and after it, and each group of answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Crash(BaseException):
    """The process is gone: nothing catches it."""


@dataclass
class CrashPoints:
    """Counts the crossings; the `at`-th is the last thing that this process does. 0: none."""

    at: int
    crossed: list[str] = field(default_factory=list)

    def cross(self, name: str) -> None:
        self.crossed.append(name)
        if len(self.crossed) == self.at:
            raise Crash(name)


class Around:
    """A collaborator whose every call is a crash point, before and after; iterators are one at each item."""

    def __init__(self, inner: Any, points: CrashPoints) -> None:
        self._inner, self._points = inner, points

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        # A family's steps are a class, and no method.
        if not callable(found) or isinstance(found, type):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._points.cross(f"before {name}")
            answer = found(*args, **kwargs)
            if name == "act":
                return self._each(answer)
            self._points.cross(f"after {name}")
            return answer

        return call

    def _each(self, groups: Any) -> Any:
        for group in groups:
            self._points.cross("an answer was read")
            yield group
            self._points.cross("an answer was dealt with")
