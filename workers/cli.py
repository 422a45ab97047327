"""The `longhaul` command. Data on stdout, the rest on stderr.

Exit codes: 0 done; 1 the answer is no (a submission was refused, a check found something); 2 wrong usage; 69 something that is needed
does not answer; 78 a setting is wrong.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import click
from celery import Celery
from celery.exceptions import TimeoutError as NoAnswer

from config.logs import set_up
from config.queues import INTAKE, celery_settings
from config.settings import Settings, load
from jobs.balance import balance
from jobs.store import JobStore, Limits
from ledger.connection import connect
from ledger.results import PREFIX, Reader
from workers.doctor import examine
from workers.lifecycle import EX_UNAVAILABLE, check_broker, check_ledger, exit_with_reason
from workers.local import Local, Ports, is_self_hosted, kept_secret
from workers.printing import clock, rows, say, shortened
from workers.up import run

CHUNK = 5000
ANSWER_WITHIN = 60.0
GROUP = "longhaul"
IDLE = 60.0
BLOCK = 1.0
SCANNED = 10_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="longhaul")
def main() -> None:
    """Bring scraping jobs home: submit them, wait for as long as it takes, read each result once."""
    set_up("WARNING")


@main.command()
@click.option("--workers", default=2, show_default=True, help="Worker processes; one for each core.")
@click.option("--data", default=Path(".longhaul"), show_default=True, type=click.Path(path_type=Path, file_okay=False), help="Where jobs live.")
@click.option("--redis-port", default=Ports().redis, show_default=True, help="Port of the embedded server.")
def up(workers: int, data: Path, redis_port: int) -> None:
    """Run everything on this machine until Ctrl-C: server, service, workers, beat, Flower, receiver."""
    with exit_with_reason():
        ports = Ports(redis=redis_port)
        given = os.environ.get("LONGHAUL_REDIS_URL")
        url = given or f"redis://127.0.0.1:{redis_port}/0"
        # An embedded server is the broker as well; a person's own ledger may have a broker beside it.
        broker = os.environ.get("LONGHAUL_BROKER_URL", "") if given else ""
        local = Local(ports, url, is_self_hosted(os.environ), workers, kept_secret(data), broker)
        run(local, None if given else data / "ledger")


@main.command()
@click.argument("urls", nargs=-1)
@click.option("-f", "--file", "source", type=click.File(), help="Read URLs from a file, one a line; - is stdin.")
@click.option("--queue", default="results", show_default=True, help="The results queue.")
@click.option("--account", default="default", show_default=True, help="The account that pays.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="One of the remote's apiParams, such as country_code=us.")
def submit(urls: tuple[str, ...], source: TextIO | None, queue: str, account: str, params: tuple[str, ...]) -> None:
    """Submit URLs (or - for stdin); prints id and url of each job."""
    if "-" in urls:
        source, urls = sys.stdin, tuple(url for url in urls if url != "-")
    lines = (line.strip() for line in source or ())
    wanted = _chain(urls, (line for line in lines if line and not line.startswith("#")))
    defaults: dict[str, Any] = {"queue": queue, "account": account}
    if params:
        defaults["api_params"] = dict(_param(text) for text in params)
    app, any_submitted = _caller(), False
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
    redis = connect(_settings().redis_url)
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
    """Say how many jobs are where, which accounts are paused, and what waits in the results queues."""
    redis = connect(_settings().redis_url)
    books = JobStore(redis, Limits()).books()
    # The whole key space is walked, each job's keys with it: in large steps.
    keys = redis.scan_iter(match=f"{PREFIX}*", count=SCANNED, _type="stream")
    queues = {key.removeprefix(PREFIX): redis.xlen(key) for key in sorted(keys)}
    redis.close()
    page = balance(books)
    lines: list[dict[str, Any]] = [{"what": "submitted", "count": page.submitted}]
    lines += [{"what": f"jobs {state.value}", "count": count} for state, count in page.states.items()]
    for lane in sorted(books.lanes, key=lambda lane: lane.name):
        paused = f"paused until {clock(lane.paused_until)}: {lane.reason}" if lane.paused_until else ""
        late = f"oldest due since {clock(lane.oldest)}" if lane.due else ""
        lines.append({"what": f"due {lane.name}", "count": lane.due, "note": paused or late})
    lines += [{"what": f"queue {name}", "count": count} for name, count in queues.items()]
    rows(["what", "count", "note"], lines)
    for fault in page.faults:
        say(f"The books do not balance: {fault}")
    if page.faults:
        sys.exit(1)


@main.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Cancel a job; prints its id and its state afterwards."""
    rows(["id", "status"], [_answer(_caller().send_task("jobs.cancel", kwargs={"job_id": job_id}, queue=INTAKE))])


@main.command()
def doctor() -> None:
    """Say what is wrong with this set-up, and what to do."""
    with exit_with_reason():
        settings = load()
    found = list(examine(settings))
    rows(
        ["", "check", "finding", "what to do"],
        [{"": "ok" if one.ok else "!!", "check": one.check, "finding": one.words, "what to do": one.mend, "ok": one.ok} for one in found],
    )
    sys.exit(0 if all(one.ok for one in found) else 1)


def _settings() -> Settings:
    with exit_with_reason():
        settings = load()
        check_ledger(settings)
        return settings


def _caller() -> Celery:
    """A Celery app as any other service has: it knows the broker, not our tasks."""
    with exit_with_reason():
        settings = load()
        check_ledger(settings)
        check_broker(settings)
    app = Celery("longhaul-cli")
    app.conf.update(celery_settings(settings))
    return app


def _submit_chunk(app: Celery, urls: list[str], defaults: dict[str, Any]) -> None:
    result = app.send_task("jobs.submit_batch", kwargs={"requests": urls, **defaults}, queue=INTAKE)
    ids = _answer(result)
    rows(["id", "url"], [{"id": job_id, "url": url} for job_id, url in zip(ids, urls, strict=True)])


def _answer(result: Any) -> Any:
    try:
        return result.get(timeout=ANSWER_WITHIN)
    except NoAnswer:
        say(f"No worker has answered within {ANSWER_WITHIN:g} s. The message waits for one; is any running? See `longhaul doctor`.")
        sys.exit(EX_UNAVAILABLE)
    except Exception as error:  # noqa: BLE001  (the task's error, whatever its class, is the answer)
        say(str(error))
        sys.exit(1)


def _print_envelope(document: dict[str, Any]) -> None:
    if sys.stdout.isatty():
        rows(["id", "status", "url", "body"], [shortened(document)])
    else:
        rows([], [document])


def _param(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    return name, value


def _chain(first: Iterable[str], second: Iterable[str]) -> Iterator[str]:
    yield from first
    yield from second


if __name__ == "__main__":
    main()
