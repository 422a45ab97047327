"""`longhaul submit`: send URLs to the installation as jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, TextIO

import click
from celery import Celery

from cli.client import answer, celery_client, param, settings_of_ledger
from config.celery_settings import INTAKE
from longhaul.process.terminal import rows

CHUNK = 5000
"""URLs in one message."""


@click.command()
@click.argument("urls", nargs=-1)
@click.option("-f", "--file", "source", type=click.File(), help="Read URLs from a file, one a line; - is stdin.")
@click.option("--queue", default="results", show_default=True, help="The results queue.")
@click.option("--account", default="default", show_default=True, help="The account that pays.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="One of the remote's apiParams, such as country_code=us.",
)
def submit(urls: tuple[str, ...], source: TextIO | None, queue: str, account: str, params: tuple[str, ...]) -> None:
    """Submit URLs (or - for stdin); prints id and url of each job."""
    if "-" in urls:
        source, urls = sys.stdin, tuple(url for url in urls if url != "-")
    wanted = chain(urls, _urls_in(source))
    defaults: dict[str, Any] = {"queue": queue, "account": account}
    if params:
        defaults["api_params"] = dict(param(text) for text in params)
    app, any_submitted = celery_client(settings_of_ledger()), False
    while chunk := list(islice(wanted, CHUNK)):
        any_submitted = True
        _submit_chunk(app, chunk, defaults)
    if not any_submitted:
        raise click.UsageError("No URL given: name some, or -f FILE, or -")


def _urls_in(source: TextIO | None) -> Iterator[str]:
    """The lines of `source` that are neither empty nor a comment, read as they are needed."""
    lines = (line.strip() for line in source or ())
    return (line for line in lines if line and not line.startswith("#"))


def _submit_chunk(app: Celery, urls: list[str], defaults: dict[str, Any]) -> None:
    result = app.send_task("jobs.submit_batch", kwargs={"requests": urls, **defaults}, queue=INTAKE)
    ids = answer(result)
    rows(["id", "url"], [{"id": job_id, "url": url} for job_id, url in zip(ids, urls, strict=True)])
