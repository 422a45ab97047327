"""`longhaul books`: whether every job and every crawl is accounted for, and if not, which is not."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Any

import click

from cli.client import settings_of_ledger
from longhaul.crawls.store import CrawlLimits, CrawlStore
from longhaul.jobs.store import JobLimits, JobStore
from longhaul.ledger.audit import Audit
from longhaul.ledger.connection import connect
from longhaul.ledger.due import Books
from longhaul.process.terminal import legible, rows, say
from longhaul.work.balance import balance

MOST_NAMED = 1000


@click.command()
def books() -> None:
    """Print the balance: submitted = open + envelopes, each open one in its lane. Exits with 1 where it is off, and
    names the ids.
    """
    with closing(connect(settings_of_ledger().redis_url)) as redis:
        stores: dict[str, JobStore | CrawlStore] = {
            "jobs": JobStore(redis, JobLimits()),
            "crawls": CrawlStore(redis, CrawlLimits()),
        }
        pages = {name: (store.books(), store.audit()) for name, store in stores.items()}
    rows([*COLUMNS, "balanced"], [page_row(name, *page) for name, page in pages.items()])
    faults = [line for name, page in pages.items() for line in fault_rows(name, *page)]
    if faults:
        rows(["what", "id", "fault"], faults[:MOST_NAMED])
        if len(faults) > MOST_NAMED:
            say(f"... and {len(faults) - MOST_NAMED} more")
        sys.exit(1)


COLUMNS = [
    "what",
    "submitted",
    "queued",
    "running",
    "finished",
    "failed",
    "expired",
    "cancelled",
    "envelopes",
    "open",
    "indexed",
    "records",
]


def page_row(name: str, seen: Books, walk: Audit) -> dict[str, Any]:
    """The balance of one space as a row of `COLUMNS`. `indexed`: what its lanes hold; `records`: all that were walked,
    also ended ones.
    """
    page = balance(seen)
    return {
        "what": name,
        "submitted": page.submitted,
        **{state.value: count for state, count in page.states.items()},
        "envelopes": page.envelopes,
        "open": page.open,
        "indexed": sum(lane.open for lane in seen.lanes),
        "records": walk.walked,
        "balanced": not fault_rows(name, seen, walk),
    }


def fault_rows(name: str, seen: Books, walk: Audit) -> list[dict[str, Any]]:
    """{"what", "id", "fault"} for each thing that is wrong; the id is absent where it is a sum."""
    sums = [{"what": name, "fault": fault} for fault in [*balance(seen).faults, *walk.counters]]
    return sums + [{"what": name, "id": legible(id_), "fault": fault} for id_, fault in sorted(walk.faults.items())]
