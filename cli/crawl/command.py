"""`longhaul crawl`: submit a crawl, follow it to its end, or show beforehand what would be crawled.

Exit codes beside those in `cli`: 1 where a followed crawl did not finish or is without some of its pages; 130
where it was left running by Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, NoReturn

import click
from celery import Celery

from cli.client import ANSWER_SECONDS, celery_client, no_worker_answers, opened_runtime, param
from cli.crawl.dry_run import PageUnavailable, conclusion, fetch
from cli.crawl.tail import CrawlTail, TailUpdate
from cli.crawl.view import CrawlView, figures, is_whole, short_page
from config.celery_settings import INTAKE
from longhaul.errors import InvalidArgument
from longhaul.links.scope import Scope
from longhaul.process.terminal import printable, rows, say
from workers.lifecycle import EX_UNAVAILABLE

LEFT = 130
"""128 + SIGINT, as shells have it."""
CHECK_SECONDS = 0.05


@click.command()
@click.argument("start_url")
@click.option("--depth", type=int, help="How many links away from START_URL, which is at depth 0.")
@click.option("--budget", type=int, help="Credits that the crawl may cost.")
@click.option("--include", default=".*", show_default=True, metavar="RE", help="Links to crawl.")
@click.option("--exclude", metavar="RE", help="Links not to crawl.")
@click.option("--queue", default="results", show_default=True, help="The results queue.")
@click.option("--account", default="default", show_default=True, help="The account that pays.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="One of the remote's apiParams, such as country_code=us.",
)
@click.option("--follow", is_flag=True, help="Show its pages as they come, until its end; they stay in the queue.")
@click.option(
    "--dry-run",
    "page_url",
    metavar="PAGE_URL",
    help="Crawl nothing: show for every link of that page whether it would be crawled.",
)
def crawl(
    *,
    start_url: str,
    depth: int | None,
    budget: int | None,
    include: str,
    exclude: str | None,
    queue: str,
    account: str,
    params: tuple[str, ...],
    follow: bool,
    page_url: str | None,
) -> None:
    """Crawl a site from START_URL; prints the crawl's id."""
    if page_url is not None:
        _dry_run(start_url, include, exclude, page_url)
        return
    if depth is None and budget is None:
        raise click.UsageError("Name --depth or --budget, or both: one of them must end the crawl")
    arguments: dict[str, Any] = {
        "start_url": start_url,
        "max_depth": depth,
        "crawl_budget": budget,
        "url_regexp_include": include,
        "url_regexp_exclude": exclude,
        "api_params": dict(param(text) for text in params) or None,
        "queue": queue,
        "account": account,
    }
    with opened_runtime() as runtime, _interrupts() as pressed:
        app = celery_client(runtime.settings)
        tail = CrawlTail(runtime.redis, runtime.crawls, app, queue, away=_say_away)
        started = time.monotonic()
        crawl_id = str(app.send_task("crawls.create", kwargs=arguments, queue=INTAKE, ignore_result=True).id)
        _await_record(tail, crawl_id, pressed)
        if not follow:
            rows(["id", "url"], [{"id": crawl_id, "url": start_url}])
            return
        try:
            with CrawlView(crawl_id, start_url) as view:
                last = _follow(app, tail, view, crawl_id, pressed)
        except KeyboardInterrupt:
            _leave(crawl_id, queue)
    sys.exit(_report(crawl_id, last, time.monotonic() - started))


def _say_away(error: str) -> None:
    say(f"The ledger does not answer ({error}); waiting for it ...")


@contextmanager
def _interrupts() -> Iterator[Event]:
    """An event that the first Ctrl-C sets, so that nothing is cut off halfway; a second one, before the first is dealt
    with, raises `KeyboardInterrupt`.
    """
    pressed = Event()

    def press(*_: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    former = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, former)


def _await_record(tail: CrawlTail, crawl_id: str, pressed: Event) -> None:
    """Wait until the crawl is on record; ends the process where it is refused, or no worker answers."""
    until = time.monotonic() + ANSWER_SECONDS
    while not tail.recorded(crawl_id):
        if words := tail.refusal(crawl_id):
            say(words)
            sys.exit(1)
        if pressed.is_set():
            say(
                f"Not waited for: the message of crawl {crawl_id} is under way. "
                f"To cancel it: longhaul cancel {crawl_id}"
            )
            sys.exit(LEFT)
        if time.monotonic() > until:
            no_worker_answers(f"Crawl {crawl_id}:")
        time.sleep(CHECK_SECONDS)


def _follow(app: Celery, tail: CrawlTail, view: CrawlView, crawl_id: str, pressed: Event) -> TailUpdate:
    """The last update of the crawl; raises `KeyboardInterrupt` where it is to be left running."""
    cancelling = False
    for update in tail.updates(crawl_id):
        short = [short_page(page) for page in update.pages]
        if not sys.stdout.isatty():
            rows([], short)
        view.show(short, update.crawl)
        if update.ended is not None or update.crawl is None:
            return update
        if pressed.is_set():
            if cancelling or not sys.stdin.isatty():
                raise KeyboardInterrupt
            view.pause()
            if _wants_to_cancel():
                app.send_task("crawls.cancel", kwargs={"crawl_id": crawl_id}, queue=INTAKE, ignore_result=True)
                cancelling = True
            pressed.clear()
            view.go_on()
    raise AssertionError("the last update ends it")


def _wants_to_cancel() -> bool:
    try:
        return click.confirm("Cancel the crawl? (Ctrl-C leaves it running)", err=True)
    except click.Abort:
        say("")
        raise KeyboardInterrupt from None


def _leave(crawl_id: str, queue: str) -> NoReturn:
    say(
        f"Crawl {crawl_id} goes on. Its pages: longhaul results --queue {queue}; "
        f"to cancel it: longhaul cancel {crawl_id}"
    )
    sys.exit(LEFT)


def _report(crawl_id: str, last: TailUpdate, seconds: float) -> int:
    """Say how it has ended; the exit code."""
    ended = last.ended
    if ended is None or last.crawl is None:
        say(f"The ledger does not know crawl {crawl_id} any more.")
        return 1
    if not sys.stdout.isatty():
        rows([], [ended])
    words = ended.get("failReason") or ended.get("note")
    if words or ended["status"] != "finished":
        say(f"{ended['status']}: {printable(words)}" if words else ended["status"])
    say(figures(ended, last.crawl.arrived.failed, seconds))
    return 0 if is_whole(ended) else 1


def _dry_run(start_url: str, include: str, exclude: str | None, page_url: str) -> None:
    try:
        scope = Scope.of(start_url, include, exclude)
        page = fetch(page_url)
    except InvalidArgument as error:
        raise click.UsageError(str(error)) from None
    except PageUnavailable as error:
        say(str(error))
        sys.exit(EX_UNAVAILABLE)
    found = scope.explain(page.html, page.url)
    rows(["verdict", "url"], [{"url": one.url, "verdict": one.verdict.value} for one in found])
    say(conclusion(page, found))
