"""The crawls in the ledger: created, read, cancelled, and run again by their schedules.

The package's docstring has the keys; `frontier` and `outbox` have the verbs for the pages and the events of a run.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import structlog
from redis import Redis

from longhaul.ledger.lua import Clock, Lua, Value
from longhaul.links.extract import normalised
from longhaul.scraperapi.protocol import dump_json
from service.crawls.order import CrawlOrder
from service.crawls.timetable import next_run
from service.faults.crawl_faults import summary_state
from service.fetching.request import FetchRequest

SPACE = "longhaul:service:{crawls}"
CRAWL = "crawl"
DELIVER = "deliver"
SCHEDULE = "schedule"
TRANSITIONS = {
    "delayed": ("running", "cancelled"),
    "running": ("completed", "failed", "cancelled"),
    "completed": ("in delivery", "delivered"),
    "failed": ("in delivery", "delivered"),
    "cancelled": ("in delivery", "delivered"),
    "in delivery": ("delivered",),
    "delivered": ("delayed",),
}
BUSY_WAIT_SECONDS = 5.0
"""Pause until the next try where a run is due while the one before still goes on."""
CORRUPT_ORDER_WAIT_SECONDS = 300.0
"""Pause until an order that could not be read is read again."""
BEGUN_AT_ONCE = 100
TOKEN_LIFE_SECONDS = 20.0
"""A round that has not claimed for that long is taken for dead, and its slots are free. A living one claims at least
every `batch_runner.BEAT_SECONDS`.
"""
LISTED_AT_ONCE = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CrawlSnapshot:
    """A crawl at one moment: its record, and how many pages wait, are claimed, are done, and have failed."""

    fields: Mapping[str, str]
    waiting: int
    claimed: int
    done: int
    failed: int

    @property
    def active(self) -> int:
        """Pages that have no outcome yet and will get one."""
        return self.waiting + self.claimed if self.fields["state"] in ("delayed", "running") else 0


@dataclass(frozen=True, slots=True)
class RunLists:
    """The pages of a run that has ended: `completed` and `failed` are the summary's entries as JSON, `left` the URLs
    without an outcome.
    """

    completed: list[str]
    failed: list[str]
    left: list[str]


class ServiceCrawlStore:
    """All crawls. `retention` in seconds; `clock` (epoch seconds) replaces the ledger's time in tests."""

    def __init__(self, redis: Redis, *, retention: float, clock: Clock | None = None) -> None:
        self.redis = redis
        self.lua = Lua(redis, SPACE, TRANSITIONS, own=files("service.crawls") / "scripts", clock=clock)
        self._keep = math.ceil(retention)

    def create(self, order: CrawlOrder) -> str:
        """Write a crawl, due at once if it is enabled; its id."""
        crawl_id, created = str(uuid.uuid4()), self.now()
        later = next_run(created, order.interval, created) if order.enabled else None
        fields: dict[str, Value] = {"keep": self._keep}
        if order.budget is not None:
            fields["budget"] = order.budget
        if summary := _summary_state(order):
            fields["summary"] = summary
        if later is not None:
            fields |= {"recurs": order.interval, "next": f"{later:.3f}"}
        self.lua.run(
            "create_crawl",
            id=crawl_id,
            url=start_of(order),
            order=_written(order),
            enabled=order.enabled,
            next_run=later,
            fields=fields,
        )
        return crawl_id

    def order(self, crawl_id: str) -> CrawlOrder | None:
        """What was ordered; None where the crawl is unknown or gone."""
        text = self.redis.get(f"{SPACE}:order:{crawl_id}")
        return None if text is None else _read(str(text))

    def snapshot(self, crawl_id: str) -> CrawlSnapshot | None:
        """The crawl as it is now, read in one transaction; None where it is unknown."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.hgetall(f"{SPACE}:record:{crawl_id}")
        for name in ("waiting", "next"):
            pipe.llen(f"{SPACE}:{name}:{crawl_id}")
        for name in ("retry", "claimed"):
            pipe.zcard(f"{SPACE}:{name}:{crawl_id}")
        for name in ("completed", "failed"):
            pipe.llen(f"{SPACE}:{name}:{crawl_id}")
        fields, waiting, later, retry, claimed, completed, failed = pipe.execute()
        return CrawlSnapshot(fields, waiting + later + retry, claimed, completed, failed) if fields else None

    def run_lists(self, crawl_id: str) -> RunLists:
        """The pages of a run that has ended, for its summary. They no longer change, so they are read in pieces."""
        waiting = [*self._members("claimed", crawl_id), *self._members("retry", crawl_id)]
        waiting += [*self._listed("waiting", crawl_id), *self._listed("next", crawl_id)]
        return RunLists(self._listed("completed", crawl_id), self._listed("failed", crawl_id), waiting)

    def _listed(self, name: str, crawl_id: str) -> list[str]:
        entries: list[str] = []
        while piece := self.redis.lrange(f"{SPACE}:{name}:{crawl_id}", len(entries), len(entries) + LISTED_AT_ONCE - 1):
            entries += map(str, piece)
        return entries

    def _members(self, name: str, crawl_id: str) -> list[str]:
        return [str(member) for member in self.redis.zrange(f"{SPACE}:{name}:{crawl_id}", 0, -1)]

    def cancel(self, crawl_id: str) -> bool:
        """End the crawl, whatever is under way, and its schedule; False where it is unknown. One that has ended stays
        as it ended.
        """
        return bool(self.lua.run("cancel_crawl", id=crawl_id) != "missing")

    def begin_due_runs(self) -> int:
        """Begin the runs whose time has come by their schedules; how many. Repeating it changes nothing."""
        now, begun = self.now(), 0
        schedule = f"{SPACE}:due:{SCHEDULE}"
        for crawl_id in map(str, self.redis.zrangebyscore(schedule, "-inf", f"{now:.3f}", start=0, num=BEGUN_AT_ONCE)):
            try:
                order, snapshot = self.order(crawl_id), self.snapshot(crawl_id)
            except (ValueError, TypeError, KeyError):
                # Perhaps written by another release. The other crawls must not wait for it.
                log.exception("the order of a crawl cannot be read", crawl=crawl_id)
                self.redis.zadd(schedule, {crawl_id: now + CORRUPT_ORDER_WAIT_SECONDS})
                continue
            if order is None or snapshot is None:
                self.redis.zrem(schedule, crawl_id)
                continue
            later = next_run(float(snapshot.fields["created"]), order.interval, now) or now
            became = self.lua.run(
                "begin_run",
                id=crawl_id,
                last_run=snapshot.fields["run"],
                url=start_of(order),
                next_run=later,
                summary=_summary_state(order),
                busy_wait=BUSY_WAIT_SECONDS,
            )
            begun += became == "begun"
        return begun

    def dispatch(self, step: str, *, size: int, bound: int, share: int, most: int) -> list[str]:
        """Tokens of the rounds to start now: as many as there is work for, at most `most` at once in all processes.
        `size`: pages or events that a round can have under way; `bound`: those of one crawl in all rounds; `share`:
        those of one crawl in one round.
        """
        tokens = self.lua.run(
            "dispatch_rounds", step=step, size=size, bound=bound, share=share, most=most, life=TOKEN_LIFE_SECONDS
        )
        return [str(token) for token in tokens]

    def leave(self, step: str, token: str) -> None:
        """Give a round's token back, whether it has claimed or not."""
        self.lua.run("leave_batch", step=step, token=token)

    def now(self) -> float:
        """The ledger's time, epoch seconds."""
        return self.lua.now()


def start_of(order: CrawlOrder) -> str:
    """The first page of a crawl, normalised as all URLs of the frontier are."""
    return normalised(order.start_url) or order.start_url


def _summary_state(order: CrawlOrder) -> str:
    return summary_state(order.faults, webhook=order.callback is not None)


def _written(order: CrawlOrder) -> str:
    return dump_json(asdict(order)).decode()


def _read(text: str) -> CrawlOrder:
    document: dict[str, Any] = json.loads(text)
    return CrawlOrder(**document | {"page": FetchRequest(**document["page"])})
