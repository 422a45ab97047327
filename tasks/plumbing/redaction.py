"""Keep requests out of events, out of Flower and out of `inspect`: a caller's headers and bodies may carry secrets.

Redacting where a message is published (`argsrepr`) is no use here: callers publish with an app of their own, and Celery
drops it on retry (celery#6086). So it is done where a message is received; `inspect reserved` would show the raw
arguments even then.
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.worker.request import Request

HIDDEN = "…"


class RedactedRequest(Request):
    """A request whose arguments show as `…` wherever Celery reports them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._argsrepr = self._kwargsrepr = HIDDEN

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002  (Celery's signature)
        """What `inspect` answers: always the safe form."""
        return super().info(safe=True)


class RedactedTask(Task):  # type: ignore[type-arg]  # generic in its stubs only
    """The base of every task of ours."""

    Request = "tasks.plumbing.redaction:RedactedRequest"
