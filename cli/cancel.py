"""`longhaul cancel`: end a job or a crawl."""

from __future__ import annotations

import sys

import click

from cli.client import answer, celery_client, opened_runtime
from config.celery_settings import INTAKE
from longhaul.process.terminal import rows, say

CANCEL_TASKS = {"jobs": ("jobs.cancel", "job_id"), "crawls": ("crawls.cancel", "crawl_id")}
"""By family: the task, and the name of its argument."""


@click.command()
@click.argument("id_", metavar="ID")
def cancel(id_: str) -> None:
    """Cancel a job or a crawl; prints its id and its state afterwards."""
    with opened_runtime() as runtime:
        settings = runtime.settings
        found = [name for name, store in runtime.families.items() if store.state(id_) is not None]
    if not found:
        say(
            f"{id_!r} is neither a job nor a crawl that this ledger knows; "
            "ended ones are forgotten after LONGHAUL_KEEP_ENDED seconds"
        )
        sys.exit(1)
    task, argument = CANCEL_TASKS[found[0]]
    result = celery_client(settings).send_task(task, kwargs={argument: id_}, queue=INTAKE)
    rows(["id", "status"], [answer(result)])
