"""How a command reaches the installation: through its runtime, once the ledger answers, and through Celery as any
other service does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NoReturn

import click
from celery import Celery
from celery.exceptions import TimeoutError as NoAnswer

from config.celery_settings import celery_settings
from config.settings import Settings, load
from longhaul.process.terminal import say
from tasks.plumbing.runtime import Runtime, build
from workers.lifecycle import EX_UNAVAILABLE, check_broker, check_ledger, exit_with_reason

ANSWER_SECONDS = 60.0


def settings_of_ledger() -> Settings:
    """The settings, once the ledger answers; ends the process with the reason if it does not."""
    with exit_with_reason():
        settings = load()
        check_ledger(settings)
        return settings


@contextmanager
def opened_runtime() -> Iterator[Runtime]:
    """The runtime, once the ledger answers, and its connections closed at the end of the block; ends the process with
    the reason if the ledger does not answer.
    """
    with closing(build(settings_of_ledger())) as runtime:
        yield runtime


def celery_client(settings: Settings) -> Celery:
    """A Celery app such as any other service has: it knows the broker, not our tasks. Ends the process with the reason
    if the broker does not answer.
    """
    with exit_with_reason():
        check_broker(settings)
    app = Celery("longhaul-cli")
    app.conf.update(celery_settings(settings))
    return app


def answer(result: Any) -> Any:
    """What a task has returned; where it failed, ends the process with 1 and the task's error."""
    try:
        return result.get(timeout=ANSWER_SECONDS)
    except NoAnswer:
        no_worker_answers()
    except Exception as error:  # noqa: BLE001  (the task's error, whatever its class, is the answer)
        say(str(error))
        sys.exit(1)


def no_worker_answers(words: str = "") -> NoReturn:
    """End the process: no worker has answered in time; `words` come first."""
    wait = (
        f"No worker has answered within {ANSWER_SECONDS:g} s. The message waits for one; is any running? "
        "See `longhaul doctor`."
    )
    say(f"{words} {wait}".strip())
    sys.exit(EX_UNAVAILABLE)


def param(text: str) -> tuple[str, str]:
    """The name and the value of `--param NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    return name, value
