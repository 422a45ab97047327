"""What is wrong with a set-up, and what to do: each check says one thing. Used by `longhaul doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial

import requests
from redis import Redis

from cli.overview import working
from cli.stranded import stranded
from config.settings import Settings
from longhaul.crawls.store import CrawlLimits, CrawlStore
from longhaul.errors import PreflightFailed
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.connection import connect
from longhaul.ledger.due import Books
from longhaul.scraperapi import crawl_protocol
from longhaul.scraperapi.client import call
from longhaul.scraperapi.protocol import HttpAnswer
from longhaul.work.balance import balance
from workers.health import Finding, examine_beat
from workers.lifecycle import PROBE_TIMEOUT, check_account, check_broker, check_ledger, safe

OVERDUE = 60.0


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks; those that need the ledger only where it answers."""
    ledger = _tried("ledger", lambda: check_ledger(settings), safe(settings.redis_url))
    yield ledger
    yield _tried("broker", lambda: check_broker(settings), safe(settings.broker))
    yield from _accounts(settings)
    yield _crawler(settings.crawler_url)
    if not ledger.ok:
        return
    with closing(connect(settings.redis_url)) as redis:
        spaces = {"jobs": JobStore(redis, JobLimits()).books(), "crawls": CrawlStore(redis, CrawlLimits()).books()}
        yield examine_beat(redis, spaces["jobs"].now)
        yield _work(spaces.values())
        for books in spaces.values():
            yield from _pauses(books)
        yield _stranded(redis)
        yield _balance(spaces)
    yield _receiver(settings.public_url)


def _tried(check: str, attempt: Callable[[], None], words: str) -> Finding:
    try:
        attempt()
    except PreflightFailed as error:
        return Finding(check, ok=False, words="does not serve", mend=str(error))
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
        mend="Is LONGHAUL_CRAWLER_URL right? Crawls wait for it; jobs do not.",
    )


def _work(spaces: Iterable[Books]) -> Finding:
    ages = (
        books.now - lane.oldest
        for books in spaces
        for lane in working(books)
        if lane.oldest is not None and not lane.paused_until
    )
    late = max(ages, default=0.0)
    if late > OVERDUE:
        return Finding(
            "workers",
            ok=False,
            words=f"due work has waited {late:.0f} s",
            mend="Are workers running (celery -A workers.app worker)? Add more if they are busy.",
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
                mend="Nothing is lost; one job or crawl will try again by itself. Mend the account if it is refused.",
            )


def _stranded(redis: Redis) -> Finding:
    found = stranded(redis)
    words = "; ".join(f"{line['count']} {line['what']}" for line in found if line.get("count"))
    mend = "`longhaul status` says why; mend the reason, then `longhaul retry`, or cancel the job." if words else ""
    return Finding("set aside", ok=not words, words=words or "nothing waits for a person", mend=mend)


def _balance(spaces: Mapping[str, Books]) -> Finding:
    faults = [f"{name}: {fault}" for name, books in spaces.items() for fault in balance(books).faults]
    return Finding(
        "books",
        ok=not faults,
        words="; ".join(faults) or "balance",
        mend="Please report this, with the output of `longhaul status`." if faults else "",
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
    mend = (
        "Is `uvicorn workers.receiver.app:api` running, and does LONGHAUL_PUBLIC_URL lead to it? Until then jobs are polled, and a page of a crawl "
        "that was pushed three times in vain is missing."
    )
    return Finding("receiver", ok=ok, words=url, mend="" if ok else mend)
