"""The `longhaul` command. Data on stdout, the rest on stderr.

Exit codes: 0 done; 1 the answer is no (a submission was refused, a check found something); 2 wrong usage; 69 something
that is needed does not answer; 78 a setting is wrong.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import click
from celery import Celery

from cli.books import books
from cli.client import answer, caller, param, settings_of_ledger
from cli.crawl.command import crawl
from cli.doctor import examine
from cli.overview import overview
from cli.retry import retry
from cli.stranded import stranded
from config.celery_settings import INTAKE
from config.settings import load
from longhaul.crawls.store import CrawlLimits, CrawlStore
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.connection import connect
from longhaul.ledger.results import PREFIX, Reader
from longhaul.process.logs import set_up
from longhaul.process.terminal import rows, say, shortened
from workers.lifecycle import exit_with_reason
from workers.local.stack import Ports, Stack, is_self_hosted, kept_secret
from workers.local.up import run

CHUNK = 5000
GROUP = "longhaul"
IDLE = 60.0
BLOCK = 1.0
SCANNED = 10_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="longhaul")
def main() -> None:
    """Bring scraping jobs and crawls home: submit them, wait for as long as it takes, read each result once."""
    set_up("WARNING")


@main.command()
@click.option("--workers", default=2, show_default=True, help="Worker processes; one for each core.")
@click.option(
    "--data",
    default=Path(".longhaul"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where jobs live.",
)
@click.option("--redis-port", default=Ports().redis, show_default=True, help="Port of the embedded server.")
def up(workers: int, data: Path, redis_port: int) -> None:
    """Run everything on this machine until Ctrl-C: server, service, workers, beat, Flower, receiver."""
    with exit_with_reason():
        ports = Ports(redis=redis_port)
        given = os.environ.get("LONGHAUL_REDIS_URL")
        url = given or f"redis://127.0.0.1:{redis_port}/0"
        # An embedded server is the broker as well; a person's own ledger may have a broker beside it.
        broker = os.environ.get("LONGHAUL_BROKER_URL", "") if given else ""
        local = Stack(ports, url, is_self_hosted(os.environ), workers, kept_secret(data), broker)
        run(local, None if given else data / "ledger")


@main.command()
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
    lines = (line.strip() for line in source or ())
    wanted = _chain(urls, (line for line in lines if line and not line.startswith("#")))
    defaults: dict[str, Any] = {"queue": queue, "account": account}
    if params:
        defaults["api_params"] = dict(param(text) for text in params)
    app, any_submitted = caller(settings_of_ledger()), False
    while chunk := list(islice(wanted, CHUNK)):
        any_submitted = True
        _submit_chunk(app, chunk, defaults)
    if not any_submitted:
        raise click.UsageError("No URL given: name some, or -f FILE, or -")


@main.command()
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--queue", default="results", show_default=True)
@click.option("--group", default=GROUP, show_default=True, help="The group of consumers to read as.")
def results(*, follow: bool, queue: str, group: str) -> None:
    """Read envelopes and remove them from their queue: whole as JSON lines in a pipe, shortened on a terminal."""
    redis = connect(settings_of_ledger().redis_url)
    try:
        reader = Reader(redis, queue, group, f"{socket.gethostname()}-cli")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        while True:
            # Whatever a reader before this one took and did not acknowledge comes first.
            entries = reader.take_over(IDLE) or reader.read(block=BLOCK if follow else None)
            for entry in entries:
                _print_envelope(entry.envelope)
            # Only what has left this process is removed.
            sys.stdout.flush()
            reader.acknowledge(entries)
            if not entries and not follow:
                return
    except KeyboardInterrupt:
        return
    finally:
        redis.close()


@main.command()
def status() -> None:
    """Say how many jobs and crawls are where, which accounts are paused, what waits for you to decide, and what in the
    results queues.
    """
    settings = settings_of_ledger()
    redis = connect(settings.redis_url)
    spaces = {"jobs": JobStore(redis, JobLimits()).books(), "crawls": CrawlStore(redis, CrawlLimits()).books()}
    # The whole key space is walked, each job's keys with it: in large steps.
    keys = redis.scan_iter(match=f"{PREFIX}*", count=SCANNED, _type="stream")
    queues = {key.removeprefix(PREFIX): redis.xlen(key) for key in sorted(keys)}
    waiting = stranded(redis)
    redis.close()
    lines, faults = overview(spaces)
    lines += waiting
    lines += [{"what": f"queue {name}", "count": count} for name, count in queues.items()]
    rows(["what", "count", "note"], lines)
    for fault in faults:
        say(f"The books do not balance: {fault}")
    if faults:
        sys.exit(1)


@main.command()
@click.argument("id_", metavar="ID")
def cancel(id_: str) -> None:
    """Cancel a job or a crawl; prints its id and its state afterwards."""
    settings = settings_of_ledger()
    with closing(connect(settings.redis_url)) as redis:
        is_job = JobStore(redis, JobLimits()).state(id_) is not None
        is_crawl = not is_job and CrawlStore(redis, CrawlLimits()).state(id_) is not None
    if not is_job and not is_crawl:
        say(
            f"{id_!r} is neither a job nor a crawl that this ledger knows; ended ones are forgotten after LONGHAUL_KEEP_ENDED seconds"
        )
        sys.exit(1)
    task, name = ("crawls.cancel", "crawl_id") if is_crawl else ("jobs.cancel", "job_id")
    rows(["id", "status"], [answer(caller(settings).send_task(task, kwargs={name: id_}, queue=INTAKE))])


@main.command()
def doctor() -> None:
    """Say what is wrong with this set-up, and what to do."""
    with exit_with_reason():
        settings = load()
    found = list(examine(settings))
    rows(
        ["", "check", "finding", "what to do"],
        [
            {
                "": "ok" if one.ok else "!!",
                "check": one.check,
                "finding": one.words,
                "what to do": one.mend,
                "ok": one.ok,
            }
            for one in found
        ],
    )
    sys.exit(0 if all(one.ok for one in found) else 1)


def _submit_chunk(app: Celery, urls: list[str], defaults: dict[str, Any]) -> None:
    result = app.send_task("jobs.submit_batch", kwargs={"requests": urls, **defaults}, queue=INTAKE)
    ids = answer(result)
    rows(["id", "url"], [{"id": job_id, "url": url} for job_id, url in zip(ids, urls, strict=True)])


def _print_envelope(document: dict[str, Any]) -> None:
    if sys.stdout.isatty():
        rows(["id", "status", "url", "body"], [shortened(document)])
    else:
        rows([], [document])


def _chain(first: Iterable[str], second: Iterable[str]) -> Iterator[str]:
    yield from first
    yield from second


main.add_command(crawl)
main.add_command(retry)
main.add_command(books)

if __name__ == "__main__":
    main()
