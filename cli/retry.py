"""`longhaul retry`: send again what waits for a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from cli.client import celery_client, opened_runtime
from cli.status import quarantines
from longhaul.ledger.dead_letters import DeadLetter, DeadLetters
from longhaul.ledger.quarantine import Quarantine
from longhaul.process.terminal import legible, rows, say
from tasks.plumbing.runtime import Runtime

MISSING = "missing"
WHY_LEFT = {
    MISSING: "is neither a job nor a crawl that this ledger knows",
    "not in quarantine": "is not in quarantine: it goes on by itself",
}
"""Why a record was left alone, by what `Quarantine.retry` says of it in the place of a lane."""


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All jobs and crawls in quarantine.")
@click.option("--dead-letters", is_flag=True, help="All messages that no worker could handle, back to their queues.")
def retry(*, ids: tuple[str, ...], everything: bool, dead_letters: bool) -> None:
    """Release jobs and crawls from quarantine: due now, in the step that they were taken from, with three tries."""
    if bool(ids) + everything + dead_letters != 1:
        raise click.UsageError("Name the IDs, or --all, or --dead-letters: one of these")
    with opened_runtime() as runtime:
        if dead_letters:
            _send(runtime)
        elif not _release(quarantines(runtime), ids):
            sys.exit(1)


def _release(quarantine_of: Mapping[str, Quarantine], ids: tuple[str, ...]) -> bool:
    """Release these, or all where none is named; whether each of them was in quarantine."""
    became: dict[str, str] = {}
    for quarantine in quarantine_of.values():
        wanted = [id_ for id_ in ids if became.get(id_, MISSING) == MISSING] if ids else quarantine.ids()
        became |= dict(zip(wanted, quarantine.retry(wanted), strict=True))
    released = {id_: lane for id_, lane in became.items() if lane not in WHY_LEFT}
    rows(["id", "due in"], [{"id": legible(id_), "due in": lane} for id_, lane in released.items()])
    if not became:
        say("Nothing is in quarantine.")
    left = {id_: word for id_, word in became.items() if id_ not in released} if ids else {}
    for id_, word in left.items():
        say(f"{id_!r} {WHY_LEFT[word]}")
    return not left


def _send(runtime: Runtime) -> None:
    letters = DeadLetters(runtime.redis)
    if not letters.count():
        say("There are no dead letters.")
        return
    app = celery_client(runtime.settings)
    with app.connection_for_write() as connection, connection.Producer() as producer:
        rows(["task", "queue", "size"], list(_sent(producer, letters)))


def _sent(producer: Any, letters: DeadLetters) -> Iterator[dict[str, Any]]:
    for entry, letter in letters.each():
        _publish(producer, letter)
        # A crash here sends it twice, which does no harm: the same task id is the same job.
        letters.forget([entry])
        yield {"task": letter.task, "queue": letter.queue, "size": len(letter.body)}


def _publish(producer: Any, letter: DeadLetter) -> None:
    # To the queue itself, past exchanges, and as it came: with a content type named, kombu leaves the body alone.
    producer.publish(
        letter.body,
        exchange="",
        routing_key=letter.queue,
        content_type=letter.content_type or "application/data",
        content_encoding=letter.content_encoding or "binary",
        headers=dict(letter.headers),
        **letter.properties,
    )
