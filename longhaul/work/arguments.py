"""The arguments that a job and a crawl share, checked once and completely.

Every error names the argument, the value and the rule. Nothing is recorded where one is raised.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from longhaul.errors import InvalidArgument, invalid
from longhaul.ledger.results import QUEUE_NAME, QUEUE_RULE
from longhaul.scraperapi.fields import http_host, read_object, secretive
from longhaul.scraperapi.models import Json

MAX_URL_CHARACTERS = 8192
MAX_META_BYTES = 16 * 1024
DEFAULT_QUEUE, DEFAULT_ACCOUNT = "results", "default"
CONTROL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What this installation accepts: the names of its accounts, where the remote can reach its receiver ('' =
    nowhere), and whether there is a secret that makes the receiver's addresses unguessable.
    """

    accounts: Collection[str]
    receiver: str = ""
    secret: bool = False


def read_url(name: str, value: object, *, secret: bool = False) -> str:
    """An http(s) address; `secret`: it may carry a password, so errors do not quote it."""
    refused = secretive if secret else invalid
    if value is None:
        raise InvalidArgument(f"{name}: is missing: every job needs the address of its target")
    if not isinstance(value, str):
        raise refused(name, value, "must be a string")
    if len(value) > MAX_URL_CHARACTERS:
        raise refused(name, value, f"must be at most {MAX_URL_CHARACTERS} characters long")
    if CONTROL.search(value):
        raise refused(name, value, "must not contain spaces or control characters; percent-encode them")
    http_host(name, value, secret=secret)
    return value


def read_api_params(value: object) -> Json:
    """The remote's `apiParams`, which are passed on as they are."""
    return read_object("api_params", value) or {}


def read_meta(value: object) -> Json | None:
    """What comes back in the envelope."""
    return read_object("meta", value, MAX_META_BYTES)


def read_queue(value: object) -> str:
    """The name of a results queue."""
    # A name with a colon could escape its key space.
    if not isinstance(value, str) or not QUEUE_NAME.fullmatch(value):
        raise invalid("queue", value, QUEUE_RULE)
    return value


def read_account(value: object, rules: IntakeRules) -> str:
    """The name of an account of this installation."""
    if not isinstance(value, str) or value not in rules.accounts:
        known = ", ".join(sorted(rules.accounts)) or "none: set LONGHAUL_API_KEY"
        raise invalid("account", value, f"is not an account of this installation ({known})")
    return value


def read_callback(value: object, rules: IntakeRules) -> str:
    """The receiver's address, empty for polling only."""
    match value:
        case None:
            return rules.receiver
        case False:
            return ""
        case True if rules.receiver:
            return rules.receiver
        case True:
            raise invalid("callback", value, "needs LONGHAUL_PUBLIC_URL to be set where the workers run")
        case _:
            address = read_url("callback", value, secret=True).rstrip("/")
            if not rules.secret:
                raise secretive(
                    "callback", value, "needs LONGHAUL_WEBHOOK_SECRET to be set where the workers and the receiver run"
                )
            return address
