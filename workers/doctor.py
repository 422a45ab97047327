"""What is wrong with a set-up, and what to do: each check says one thing. Used by `longhaul doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import requests
from redbeat.decoder import RedBeatJSONDecoder
from redis import Redis

from config.queues import TICK
from config.settings import Settings
from crawls.store import CrawlLimits, CrawlStore
from jobs.balance import balance
from jobs.store import JobStore, Limits
from ledger.connection import connect
from ledger.due import Books
from scraperapi import crawl_protocol
from scraperapi.client import call
from scraperapi.errors import PreflightFailed
from scraperapi.protocol import HttpAnswer
from workers.lifecycle import PROBE_TIMEOUT, check_account, check_broker, check_ledger, safe
from workers.overview import working
from workers.stranded import stranded

BEAT_ENTRY = "longhaul:redbeat:longhaul-dispatch"
BEAT_LATE = 30 * TICK
OVERDUE = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check; `mend` says what to do where it is not ok."""

    check: str
    ok: bool
    words: str
    mend: str = ""


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
        spaces = {"jobs": JobStore(redis, Limits()).books(), "crawls": CrawlStore(redis, CrawlLimits()).books()}
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
        yield _tried(f"account {name}", lambda name=name, key=key: check_account(settings, name, key), f"not refused by {settings.async_url}")  # type: ignore[misc]


def _crawler(url: str) -> Finding:
    answer = call(crawl_protocol.progress(url, "doctor"), timeout=PROBE_TIMEOUT)
    if isinstance(answer, HttpAnswer):
        return Finding("crawler", ok=True, words=f"{url} answers")
    return Finding("crawler", ok=False, words=f"{url} does not answer", mend="Is LONGHAUL_CRAWLER_URL right? Crawls wait for it; jobs do not.")


def examine_beat(redis: Redis, now: float) -> Finding:
    """Whether some beat ticks."""
    meta = redis.hget(BEAT_ENTRY, "meta")
    ran = _last_run(str(meta)) if meta else None
    if ran is None:
        return Finding("beat", ok=False, words="has never ticked", mend="Start one: celery -A workers.app beat")
    if now - ran > BEAT_LATE:
        return Finding(
            "beat",
            ok=False,
            words=f"last ticked {now - ran:.0f} s ago",
            mend="Is `celery -A workers.app beat` running? Jobs wait for its tick.",
        )
    return Finding("beat", ok=True, words=f"ticked {max(now - ran, 0):.0f} s ago")


def _last_run(meta: str) -> float | None:
    ran = json.loads(meta, cls=RedBeatJSONDecoder).get("last_run_at")
    return ran.timestamp() if ran else None


def _work(spaces: Iterable[Books]) -> Finding:
    ages = (books.now - lane.oldest for books in spaces for lane in working(books) if lane.oldest is not None and not lane.paused_until)
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
        return Finding("receiver", ok=True, words="no LONGHAUL_PUBLIC_URL here: jobs are polled, crawls need a `callback` of their own")
    try:
        ok = requests.get(f"{url}/health", timeout=5).ok
    except requests.RequestException:
        ok = False
    mend = (
        "Is `uvicorn workers.webhook:api` running, and does LONGHAUL_PUBLIC_URL lead to it? Until then jobs are polled, and a page of a crawl "
        "that was pushed three times in vain is missing."
    )
    return Finding("receiver", ok=ok, words=url, mend="" if ok else mend)
