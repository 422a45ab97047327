"""How the command reaches the installation: its settings, once its parts answer, and Celery as any other service has
it.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click
from celery import Celery
from celery.exceptions import TimeoutError as NoAnswer

from config.celery_settings import celery_settings
from config.settings import Settings, load
from longhaul.process.terminal import say
from workers.lifecycle import EX_UNAVAILABLE, check_broker, check_ledger, exit_with_reason

ANSWER_WITHIN = 60.0


def settings_of_ledger() -> Settings:
    """The settings, where the ledger answers; ends the process with the reason where it does not."""
    with exit_with_reason():
        settings = load()
        check_ledger(settings)
        return settings


def caller(settings: Settings) -> Celery:
    """A Celery app as any other service has: it knows the broker, not our tasks. Ends the process where the broker does
    not answer.
    """
    with exit_with_reason():
        check_broker(settings)
    app = Celery("longhaul-cli")
    app.conf.update(celery_settings(settings))
    return app


def answer(result: Any) -> Any:
    """What a task has answered; ends the process with 1 and the task's words where they are an error."""
    try:
        return result.get(timeout=ANSWER_WITHIN)
    except NoAnswer:
        nobody_answers()
    except Exception as error:  # noqa: BLE001  (the task's error, whatever its class, is the answer)
        say(str(error))
        sys.exit(1)


def nobody_answers(words: str = "") -> NoReturn:
    """End the process: no worker has answered in time; `words` come first."""
    wait = f"No worker has answered within {ANSWER_WITHIN:g} s. The message waits for one; is any running? See `longhaul doctor`."
    say(f"{words} {wait}".strip())
    sys.exit(EX_UNAVAILABLE)


def param(text: str) -> tuple[str, str]:
    """The name and the value of `--param NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    return name, value
