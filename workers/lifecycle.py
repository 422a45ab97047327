"""What a process does at start and shutdown: logs, proof that the servers it needs answer, a clean end."""

from __future__ import annotations

import gc
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote, quote_plus

import structlog
from celery.exceptions import SecurityWarning
from celery.signals import celeryd_init, import_modules, setup_logging, worker_ready, worker_shutdown
from kombu import Connection
from kombu.exceptions import KombuError

from config.addresses import is_redis
from config.celery_settings import celery_url
from config.settings import Settings, SettingsError
from longhaul.errors import PreflightFailed
from longhaul.ledger.connection import connect, problem
from longhaul.process.heartbeat import write_heartbeats
from longhaul.process.logs import set_up
from longhaul.process.shutdown import quick_at_second_signal
from longhaul.scraperapi import protocol
from longhaul.scraperapi.client import call
from longhaul.scraperapi.models import AccountRefused, Unreachable
from tasks.plumbing.runtime import runtime

log = structlog.get_logger()

EX_CONFIG = 78
"""sysexits.h: something is wrong with the configuration; starting again will not help."""
EX_UNAVAILABLE = 69
"""sysexits.h: something that is needed does not answer; starting again later may help."""
UNAUTHORIZED = 401
PROBE_TIMEOUT = 10.0


@contextmanager
def exit_with_reason() -> Iterator[None]:
    """End the process with the reason if it cannot start."""
    try:
        yield
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
    except PreflightFailed as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_UNAVAILABLE)


def check_accounts(settings: Settings) -> None:
    """Raise where there is no account, or where the remote refuses the key of one. A remote that does not answer is no
    reason to end: jobs wait for it.
    """
    if not settings.account_keys():
        raise PreflightFailed(
            "No account: set LONGHAUL_API_KEY (any text will do for a self-hosted service without keys)."
        )
    for name, key in settings.account_keys().items():
        check_account(settings, name, key)


def check_ledger(settings: Settings) -> None:
    """Raise where the ledger does not answer or could lose records."""
    with closing(connect(settings.redis_url)) as redis:
        fault = problem(redis)
    if fault:
        raise PreflightFailed(
            f"The ledger at {safe(settings.redis_url)} {fault}. Is LONGHAUL_REDIS_URL right, and is the server up?"
        )


def check_broker(settings: Settings) -> None:
    """Raise where the broker does not answer or could lose messages."""
    fault = _redis_problem(settings.broker) or _connection_problem(settings.broker)
    if fault:
        raise PreflightFailed(
            f"The broker at {safe(settings.broker)} {fault}. Is LONGHAUL_BROKER_URL right, and is the server up?"
        )


def _redis_problem(broker: str) -> str | None:
    """What is wrong with a broker that is a Redis. It must meet the conditions of a ledger: a message may be the only
    copy of its job.
    """
    if not is_redis(broker):
        return None
    with closing(connect(broker)) as redis:
        return problem(redis)


def _connection_problem(broker: str) -> str | None:
    """Why Celery cannot reach the broker."""
    try:
        with Connection(
            celery_url(broker), connect_timeout=5, transport_options={"socket_connect_timeout": 5}
        ) as connection:
            connection.ensure_connection(max_retries=1, interval_start=1)
    except (KombuError, OSError) as error:
        return f"does not answer ({error})"
    return None


def check_account(settings: Settings, name: str, key: str) -> None:
    """Raise where the remote refuses the account's key; a remote that does not answer is only logged."""
    answer = call(protocol.probe(settings.async_url, key), timeout=PROBE_TIMEOUT)
    seen = protocol.read_polled(answer, 0.0)
    if isinstance(seen, AccountRefused) and seen.status == UNAUTHORIZED:
        raise PreflightFailed(
            f"{settings.async_url} refuses the key of account `{name}` ({_without(key, seen.words) or 'HTTP 401'}). "
            "Is LONGHAUL_API_KEY right?"
        )
    if isinstance(seen, Unreachable):
        log.warning(
            "the remote does not answer; jobs will wait for it",
            url=settings.async_url,
            account=name,
            error=_without(key, seen.words),
        )


def _without(key: str, words: str) -> str:
    """`words` without the key, in whatever form of quoting an address had it."""
    for form in (key, quote(key, safe=""), quote_plus(key), quote(key)):
        words = words.replace(form, "***")
    return words


def safe(url: str) -> str:
    """An address without its password."""
    return re.sub(r"//([^:@/]*):[^@/]*@", r"//\1:**@", url)


def connect_signals(settings: Settings) -> None:
    """Connect what we do at start and shutdown to Celery's signals."""
    set_up(settings.log_level, settings.log_format)
    # It warns of pickled messages under root; ours are JSON, and a container's only user may well be root.
    warnings.simplefilter("ignore", SecurityWarning)
    write_heartbeats(settings.heartbeat_file, longest=settings.visibility_timeout)
    setup_logging.connect(lambda **_: set_up(settings.log_level, settings.log_format), weak=False)
    # Sent by workers, beat and Flower before anything else; beat's own signal comes only after RedBeat has tried to
    # connect for a minute.
    import_modules.connect(lambda **_: _prove(settings, check_ledger, check_broker), weak=False)
    celeryd_init.connect(lambda **_: _prove(settings, check_ledger, check_broker, check_accounts), weak=False)
    worker_ready.connect(lambda **_: collect_seldom(), weak=False)
    quick_at_second_signal(_abort_pending)
    worker_shutdown.connect(lambda **_: runtime().close(), weak=False)


def _abort_pending() -> None:
    runtime().calls.abort_pending()


def collect_seldom() -> None:
    """Keep the garbage collector away from what lives as long as the process: with hundreds of calls under way it took
    a fifth of the CPU of a poll.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _prove(settings: Settings, *checks: Callable[[Settings], None]) -> None:
    with exit_with_reason():
        for check in checks:
            check(settings)
