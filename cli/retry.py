"""`longhaul retry`: send again what waits for a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click
from redis import Redis

from cli.client import caller, settings_of_ledger
from cli.stranded import quarantined
from config.settings import Settings
from longhaul.ledger.connection import connect
from longhaul.ledger.dead_letters import DeadLetter, DeadLetters
from longhaul.process.terminal import legible, rows, say

MISSING = "missing"
UNTOUCHED = {
    MISSING: "is neither a job nor a crawl that this ledger knows",
    "not in quarantine": "is not set aside: it goes on by itself",
}


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All jobs and crawls that are set aside.")
@click.option("--dead-letters", is_flag=True, help="All messages that nobody could handle, back into their queues.")
def retry(*, ids: tuple[str, ...], everything: bool, dead_letters: bool) -> None:
    """Send jobs and crawls that are set aside again: due now, in the step that they were taken from, with three tries."""
    if bool(ids) + everything + dead_letters != 1:
        raise click.UsageError("Name the IDs, or --all, or --dead-letters: one of these")
    settings = settings_of_ledger()
    with closing(connect(settings.redis_url)) as redis:
        if dead_letters:
            _send(settings, redis)
        elif not _put_back(redis, ids):
            sys.exit(1)


def _put_back(redis: Redis, ids: tuple[str, ...]) -> bool:
    """Put back these, or all where none is named; whether each of them was set aside."""
    became: dict[str, str] = {}
    for aside in quarantined(redis).values():
        wanted = [id_ for id_ in ids if became.get(id_, MISSING) == MISSING] if ids else aside.ids()
        became |= dict(zip(wanted, aside.retry(wanted), strict=True))
    rows(
        ["id", "due in"],
        [{"id": legible(id_), "due in": lane} for id_, lane in became.items() if lane not in UNTOUCHED],
    )
    for id_, lane in became.items():
        if lane in UNTOUCHED and ids:
            say(f"{id_!r} {UNTOUCHED[lane]}")
    if not became:
        say("Nothing is set aside.")
    return not ids or not set(became.values()) & set(UNTOUCHED)


def _send(settings: Settings, redis: Redis) -> None:
    letters = DeadLetters(redis)
    if not letters.count():
        say("There are no dead letters.")
        return
    with caller(settings).connection_for_write() as connection, connection.Producer() as producer:
        rows(["task", "queue", "size"], list(_sent(producer, letters)))


def _sent(producer: Any, letters: DeadLetters) -> Iterator[dict[str, Any]]:
    for entry, letter in letters.each():
        _publish(producer, letter)
        # Sent twice is no harm where a crash comes between: the same task id is the same job.
        letters.forget([entry])
        yield {"task": letter.task, "queue": letter.queue, "size": len(letter.body)}


def _publish(producer: Any, letter: DeadLetter) -> None:
    # To the queue itself, past exchanges, and as it came: named a type, its body is not touched.
    producer.publish(
        letter.body,
        exchange="",
        routing_key=letter.queue,
        content_type=letter.content_type or "application/data",
        content_encoding=letter.content_encoding or "binary",
        headers=dict(letter.headers),
        **letter.properties,
    )
