"""`longhaul crawl`: order a crawl, follow it to its end, or show beforehand what would be crawled.

Exit codes beside those of `cli.main`: 1 where a followed crawl did not finish or is without some of its pages; 130
where it was left running by Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event
from typing import Any, NoReturn

import click
from celery import Celery

from cli.client import ANSWER_WITHIN, caller, nobody_answers, param, settings_of_ledger
from cli.crawl.dry_run import PageUnavailable, conclusion, fetch
from cli.crawl.tail import CrawlTail, TailUpdate
from cli.crawl.view import CrawlView, figures, is_whole, short_page
from config.celery_settings import INTAKE
from longhaul.errors import InvalidArgument
from longhaul.ledger.connection import connect
from longhaul.links.scope import Scope
from longhaul.process.terminal import printable, rows, say
from workers.lifecycle import EX_UNAVAILABLE

LEFT = 130
"""128 + SIGINT, as shells have it."""
ASKED_EVERY = 0.05


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
        _show_verdicts(start_url, include, exclude, page_url)
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
    settings = settings_of_ledger()
    app = caller(settings)
    with closing(connect(settings.redis_url)) as redis, _interrupts() as pressed:
        following = CrawlTail(
            redis, app, queue, away=lambda words: say(f"The ledger does not answer ({words}); waiting for it ...")
        )
        started = time.monotonic()
        crawl_id = str(app.send_task("crawls.create", kwargs=arguments, queue=INTAKE, ignore_result=True).id)
        _await_record(following, crawl_id, pressed)
        if not follow:
            rows(["id", "url"], [{"id": crawl_id, "url": start_url}])
            return
        try:
            with CrawlView(crawl_id, start_url) as view:
                last = _follow(app, following, view, crawl_id, pressed)
        except KeyboardInterrupt:
            _leave(crawl_id, queue)
    sys.exit(_report(crawl_id, last, time.monotonic() - started))


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Set by the first Ctrl-C, so that nothing is torn; a second one, before that is dealt with, is a
    `KeyboardInterrupt`.
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


def _await_record(following: CrawlTail, crawl_id: str, pressed: Event) -> None:
    """Wait until the crawl is on record; ends the process where it is refused, or nobody answers."""
    until = time.monotonic() + ANSWER_WITHIN
    while not following.recorded(crawl_id):
        if words := following.refusal(crawl_id):
            say(words)
            sys.exit(1)
        if pressed.is_set():
            say(
                f"Not waited for: the message of crawl {crawl_id} is under way. To cancel it: longhaul cancel {crawl_id}"
            )
            sys.exit(LEFT)
        if time.monotonic() > until:
            nobody_answers(f"Crawl {crawl_id}:")
        time.sleep(ASKED_EVERY)


def _follow(app: Celery, following: CrawlTail, view: CrawlView, crawl_id: str, pressed: Event) -> TailUpdate:
    """The last news of the crawl; raises `KeyboardInterrupt` where it is to be left running."""
    cancelling = False
    for news in following.news(crawl_id):
        short = [short_page(page) for page in news.pages]
        if not sys.stdout.isatty():
            rows([], short)
        view.show(short, news.crawl)
        if news.ended is not None or news.crawl is None:
            return news
        if pressed.is_set():
            if cancelling or not sys.stdin.isatty():
                raise KeyboardInterrupt
            view.pause()
            if _wants_to_cancel():
                app.send_task("crawls.cancel", kwargs={"crawl_id": crawl_id}, queue=INTAKE, ignore_result=True)
                cancelling = True
            pressed.clear()
            view.go_on()
    raise AssertionError("the last news end it")


def _wants_to_cancel() -> bool:
    try:
        return click.confirm("Cancel the crawl? (Ctrl-C leaves it running)", err=True)
    except click.Abort:
        say("")
        raise KeyboardInterrupt from None


def _leave(crawl_id: str, queue: str) -> NoReturn:
    say(
        f"Crawl {crawl_id} goes on. Its pages: longhaul results --queue {queue}; to cancel it: longhaul cancel {crawl_id}"
    )
    sys.exit(LEFT)


def _report(crawl_id: str, last: TailUpdate, seconds: float) -> int:
    """Tell how it has ended; the exit code."""
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


def _show_verdicts(start_url: str, include: str, exclude: str | None, page_url: str) -> None:
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
