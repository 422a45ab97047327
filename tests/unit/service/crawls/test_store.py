"""Crawls in the ledger: their schedules, and what is shown of them."""

from __future__ import annotations

import json
from typing import Any

from redis import Redis

from service.crawls.documents import completed_entry, whole_document
from service.crawls.frontier import Frontier, PageEnd
from service.crawls.order import CrawlOrder
from service.crawls.store import SPACE, CrawlSnapshot, ServiceCrawlStore
from service.fetching.request import FetchRequest
from tests.builders import START as NOW
from tests.builders import Clock

START = "http://site.test/"
HOUR = 3600.0


class Parts:
    def __init__(self, redis: Redis) -> None:
        self.clock = Clock()
        self.store = ServiceCrawlStore(redis, retention=HOUR, clock=self.clock)
        self.frontier = Frontier(self.store, per_host=8, share=4, lease=60, retry_for=60)

    def create(self, **changes: object) -> str:
        return self.store.create(order(**changes))

    def run(self, *links: str) -> int:
        """Crawl whatever there is, the start page with these links; how many pages."""
        count = 0
        while pages := self.frontier.claim(100).pages:
            count += len(pages)
            ends = [
                (page, PageEnd(completed_entry(page.url, 1), 1, None, links=() if page.depth else links))
                for page in pages
            ]
            self.frontier.write([self.frontier.settling(page, end) for page, end in ends])
        return count

    def snapshot(self, crawl_id: str) -> CrawlSnapshot:
        snapshot = self.store.snapshot(crawl_id)
        assert snapshot is not None
        return snapshot


def order(**changes: object) -> CrawlOrder:
    given: dict[str, object] = {"max_depth": 3, "budget": None, "include": ".*", "exclude": ""}
    fields: dict[str, Any] = given | changes
    return CrawlOrder(start_url=START, page=FetchRequest(START, headers={"cookie": "secret"}), **fields)


def test_an_order_survives_the_ledger(redis: Redis) -> None:
    parts = Parts(redis)
    given = order(
        budget=5,
        callback="http://u:secret@hook.test/",
        additional={"a": ["ü"]},
        interval="daily",
        name="n",
        faults="ok",
    )
    assert parts.store.order(parts.store.create(given)) == given
    assert parts.store.order("nobody") is None
    assert parts.store.snapshot("nobody") is None


def test_one_that_is_not_enabled_is_kept_and_does_not_run(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(enabled=False, interval="hourly")
    parts.clock.now += 10 * HOUR
    assert (parts.run(), parts.store.begin_due_runs(), parts.run()) == (0, 0, 0)
    assert (parts.snapshot(crawl).fields["state"], parts.snapshot(crawl).active) == ("delayed", 0)
    assert all(0 < redis.ttl(f"{SPACE}:{name}:{crawl}") <= HOUR for name in ("record", "order"))
    parts.store.cancel(crawl)
    assert parts.snapshot(crawl).fields["state"] == "delivered"


def test_a_recurring_crawl_runs_again_and_its_new_results_replace_the_old(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    assert parts.run(f"{START}1", f"{START}2") == 3
    assert parts.snapshot(crawl).fields["state"] == "delivered"
    assert (parts.store.begin_due_runs(), parts.run()) == (0, 0)
    parts.clock.now += HOUR
    assert (parts.store.begin_due_runs(), parts.store.begin_due_runs()) == (1, 0)
    fresh = parts.snapshot(crawl)
    assert (fresh.fields["state"], fresh.fields["run"], fresh.fields["cost"], fresh.done, fresh.active) == (
        "delayed",
        "2",
        "0",
        0,
        1,
    )
    assert float(fresh.fields["next"]) == NOW + 2 * HOUR
    assert parts.run(f"{START}3") == 2
    assert [json.loads(entry)["url"] for entry in parts.store.run_lists(crawl).completed] == [START, f"{START}3"]
    assert redis.ttl(f"{SPACE}:record:{crawl}") == redis.ttl(f"{SPACE}:order:{crawl}") == -1
    assert 0 < redis.ttl(f"{SPACE}:completed:{crawl}") <= HOUR


def test_a_run_that_still_goes_on_delays_the_next(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    [page] = parts.frontier.claim(1).pages
    parts.clock.now += HOUR
    assert parts.store.begin_due_runs() == 0
    assert parts.snapshot(crawl).fields["run"] == "1"
    [page] = parts.frontier.claim(1).pages
    parts.frontier.write([parts.frontier.settling(page, PageEnd(b"{}", 1, None))])
    parts.clock.now += 5
    assert parts.store.begin_due_runs() == 1
    assert float(parts.snapshot(crawl).fields["next"]) == NOW + 2 * HOUR


def test_cancelling_ends_the_schedule_too(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    assert parts.run() == 1
    assert parts.store.cancel(crawl)
    assert parts.snapshot(crawl).fields["state"] == "delivered"
    assert "next" not in parts.snapshot(crawl).fields
    assert not redis.zcard(f"{SPACE}:due:schedule")
    parts.clock.now += 2 * HOUR
    assert (parts.store.begin_due_runs(), parts.run()) == (0, 0)
    assert 0 < redis.ttl(f"{SPACE}:record:{crawl}") <= HOUR
    going = parts.create(interval="hourly")
    parts.store.cancel(going)
    parts.clock.now += 2 * HOUR
    assert (parts.store.begin_due_runs(), parts.run()) == (0, 0)


def test_a_run_begins_once_however_many_saw_that_it_was_due(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    parts.run()
    parts.clock.now += HOUR
    assert parts.store.begin_due_runs() == 1
    parts.run()
    # Another had read the run's number before.
    late = {"id": crawl, "last_run": "1", "url": START, "next_run": NOW + 2 * HOUR, "summary": None, "busy_wait": 5}
    assert parts.store.lua.run("begin_run", **late) == "stale"
    assert parts.snapshot(crawl).fields["run"] == "2"


def test_a_run_whose_order_cannot_be_read_holds_up_no_other(redis: Redis) -> None:
    parts = Parts(redis)
    crawls = [parts.create(interval="hourly") for _ in range(3)]
    parts.run()
    for crawl, text in zip(crawls, ("nonsense", '{"page": 1}'), strict=False):
        redis.set(f"{SPACE}:order:{crawl}", text)
    parts.clock.now += HOUR
    assert (parts.store.begin_due_runs(), parts.snapshot(crawls[2]).fields["run"]) == (1, "2")
    assert not redis.zcount(f"{SPACE}:due:schedule", 0, parts.clock.now)


def test_the_schedule_of_a_crawl_that_is_gone_is_forgotten(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    redis.delete(f"{SPACE}:record:{crawl}")
    parts.clock.now += HOUR
    assert parts.store.begin_due_runs() == 0
    assert not redis.zcard(f"{SPACE}:due:schedule")


def test_the_whole_document_shows_the_order_without_its_secrets(redis: Redis) -> None:
    parts = Parts(redis)
    given = order(callback="http://u:secret@hook.test/", interval="daily", name="n", budget=9)
    crawl = parts.store.create(given)
    parts.run(f"{START}1")
    document = whole_document(crawl, given, parts.snapshot(crawl))
    assert "secret" not in json.dumps(document)
    shown = {
        name: document[name]
        for name in (
            "crawler_job_id",
            "done",
            "failed",
            "active",
            "status",
            "jobCost",
            "crawlBudget",
            "start_url",
            "run",
        )
    }
    assert shown == {
        "crawler_job_id": crawl,
        "done": 2,
        "failed": 0,
        "active": 0,
        "status": "completed",
        "jobCost": 2,
        "crawlBudget": 9,
        "start_url": START,
        "run": 1,
    }
    assert document["schedule"] == {"name": "n", "interval": "daily"}
    assert document["nextRunAt"] == "2027-01-16T08:00:00.000Z"
