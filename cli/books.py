"""`longhaul books`: whether every job and every crawl is accounted for, and if not, which is not."""

from __future__ import annotations

import sys
from typing import Any

import click

from cli.client import opened_runtime
from longhaul.ledger.audit import Audit
from longhaul.ledger.due import Books
from longhaul.process.terminal import legible, rows, say
from longhaul.work.balance import balance
from longhaul.work.item import State

MOST_NAMED = 1000
COLUMNS = ["what", "submitted", *(state.value for state in State), "envelopes", "open", "indexed", "records"]


@click.command()
def books() -> None:
    """Print the balance: submitted = open + envelopes, each open one in its lane. Exits with 1 where it is off, and
    names the ids.
    """
    with opened_runtime() as runtime:
        pages = {name: (store.books(), store.audit()) for name, store in runtime.families.items()}
    rows([*COLUMNS, "balanced"], [page_row(name, *page) for name, page in pages.items()])
    faults = [line for name, page in pages.items() for line in fault_rows(name, *page)]
    if faults:
        rows(["what", "id", "fault"], faults[:MOST_NAMED])
        if len(faults) > MOST_NAMED:
            say(f"... and {len(faults) - MOST_NAMED} more")
        sys.exit(1)


def page_row(name: str, seen: Books, walk: Audit) -> dict[str, Any]:
    """The balance of one family as a row of `COLUMNS`. `indexed`: what its lanes hold; `records`: how many were walked,
    ended ones among them.
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
