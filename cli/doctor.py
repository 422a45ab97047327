"""`longhaul doctor`: what is wrong with a set-up, and what to do. Each check says one thing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial

import click
import requests

from cli.status import quarantines, waiting_rows, working_lanes
from config.settings import Settings, load
from longhaul.errors import PreflightFailed
from longhaul.ledger.dead_letters import DeadLetters
from longhaul.ledger.due import Books
from longhaul.process.terminal import rows
from longhaul.scraperapi import crawl_protocol
from longhaul.scraperapi.client import call
from longhaul.scraperapi.protocol import HttpAnswer
from longhaul.work.balance import balance
from tasks.plumbing.runtime import Runtime, build
from workers.health import Finding, examine_beat
from workers.lifecycle import PROBE_TIMEOUT, check_account, check_broker, check_ledger, exit_with_reason, safe

OVERDUE_SECONDS = 60.0


@click.command()
def doctor() -> None:
    """Say what is wrong with this set-up, and what to do."""
    with exit_with_reason():
        settings = load()
    findings = list(examine(settings))
    rows(
        ["", "check", "finding", "what to do"],
        [
            {
                "": "ok" if one.ok else "!!",
                "check": one.check,
                "finding": one.words,
                "what to do": one.remedy,
                "ok": one.ok,
            }
            for one in findings
        ],
    )
    sys.exit(0 if all(one.ok for one in findings) else 1)


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks; those that need the ledger only where it answers."""
    ledger = _tried("ledger", lambda: check_ledger(settings), safe(settings.redis_url))
    yield ledger
    yield _tried("broker", lambda: check_broker(settings), safe(settings.broker))
    yield from _accounts(settings)
    yield _crawler(settings.crawler_url)
    if not ledger.ok:
        return
    with closing(build(settings)) as runtime:
        books_of = {name: store.books() for name, store in runtime.families.items()}
        yield examine_beat(runtime.redis, books_of["jobs"].now)
        yield _work(books_of.values())
        for books in books_of.values():
            yield from _pauses(books)
        yield _quarantine(runtime)
        yield _balance(books_of)
    yield _receiver(settings.public_url)


def _tried(check: str, attempt: Callable[[], None], words: str) -> Finding:
    try:
        attempt()
    except PreflightFailed as error:
        return Finding(check, ok=False, words="does not serve", remedy=str(error))
    return Finding(check, ok=True, words=words)


def _accounts(settings: Settings) -> Iterator[Finding]:
    keys = settings.account_keys()
    if not keys:
        yield Finding("accounts", ok=True, words="no LONGHAUL_API_KEY here, so the workers' own is not checked")
    for name, key in keys.items():
        yield _tried(
            f"account {name}",
            partial(check_account, settings, name, key),
            f"not refused by {settings.async_url}",
        )


def _crawler(url: str) -> Finding:
    answer = call(crawl_protocol.progress(url, "doctor"), timeout=PROBE_TIMEOUT)
    if isinstance(answer, HttpAnswer):
        return Finding("crawler", ok=True, words=f"{url} answers")
    return Finding(
        "crawler",
        ok=False,
        words=f"{url} does not answer",
        remedy="Is LONGHAUL_CRAWLER_URL right? Crawls wait for it; jobs do not.",
    )


def _work(all_books: Iterable[Books]) -> Finding:
    ages = (
        books.now - lane.oldest
        for books in all_books
        for lane in working_lanes(books)
        if lane.oldest is not None and not lane.paused_until
    )
    late = max(ages, default=0.0)
    if late > OVERDUE_SECONDS:
        return Finding(
            "workers",
            ok=False,
            words=f"due work has waited {late:.0f} s",
            remedy="Are workers running (celery -A workers.app worker)? Add more if they are busy.",
        )
    return Finding("workers", ok=True, words="no due work is waiting")


def _pauses(books: Books) -> Iterator[Finding]:
    for lane in books.lanes:
        if lane.paused_until is not None:
            step, _, account = lane.name.partition(":")
            yield Finding(
                f"account {account}",
                ok=False,
                words=f"{step} is paused: {lane.reason}",
                remedy="Nothing is lost; one job or crawl is tried again by itself. Is the account refused?",
            )


def _quarantine(runtime: Runtime) -> Finding:
    found = waiting_rows(quarantines(runtime), DeadLetters(runtime.redis))
    words = "; ".join(f"{line['count']} {line['what']}" for line in found if line.get("count"))
    remedy = "`longhaul status` says why; repair the reason, then `longhaul retry`, or cancel the job." if words else ""
    return Finding("quarantine", ok=not words, words=words or "nothing waits for a person", remedy=remedy)


def _balance(books_of: Mapping[str, Books]) -> Finding:
    faults = [f"{name}: {fault}" for name, books in books_of.items() for fault in balance(books).faults]
    return Finding(
        "books",
        ok=not faults,
        words="; ".join(faults) or "balance",
        remedy="Please report this, with the output of `longhaul status`." if faults else "",
    )


def _receiver(url: str | None) -> Finding:
    if url is None:
        return Finding(
            "receiver",
            ok=True,
            words="no LONGHAUL_PUBLIC_URL here: jobs are polled, crawls need a `callback` of their own",
        )
    try:
        ok = requests.get(f"{url}/health", timeout=5).ok
    except requests.RequestException:
        ok = False
    remedy = (
        "Is `uvicorn workers.receiver.app:api` running, and does LONGHAUL_PUBLIC_URL lead to it? Until then jobs are "
        "polled, and a page of a crawl that could not be delivered in three tries is missing."
    )
    return Finding("receiver", ok=ok, words=url, remedy="" if ok else remedy)
