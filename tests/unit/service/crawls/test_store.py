"""Crawls in the ledger: their schedules, and what is shown of them."""

from __future__ import annotations

import json

from redis import Redis

from service.crawls import documents as crawl_documents
from service.crawls.frontier import Ending, Frontier
from service.crawls.order import CrawlOrder
from service.crawls.store import SPACE, CrawlSnapshot, ServiceCrawls
from service.jobs.submission import RunRequest
from tests.builders import START as NOW
from tests.builders import Clock

START = "http://site.test/"
HOUR = 3600.0


class Parts:
    def __init__(self, redis: Redis) -> None:
        self.clock = Clock()
        self.register = ServiceCrawls(redis, retention=HOUR, clock=self.clock)
        self.frontier = Frontier(self.register, per_host=8, share=4, lease=60, patience=60)

    def create(self, **changes: object) -> str:
        return self.register.create(order(**changes))

    def run(self, *links: str) -> int:
        """Crawl whatever there is, the start page with these links; how many pages."""
        count = 0
        while pages := self.frontier.claim(100).pages:
            count += len(pages)
            endings = [
                (page, Ending(crawl_documents.completed(page.url, 1), 1, None, links=() if page.depth else links))
                for page in pages
            ]
            self.frontier.write([self.frontier.settling(page, ending) for page, ending in endings])
        return count

    def seen(self, crawl_id: str) -> CrawlSnapshot:
        seen = self.register.look(crawl_id)
        assert seen is not None
        return seen


def order(**changes: object) -> CrawlOrder:
    given: dict[str, object] = {"max_depth": 3, "budget": None, "include": ".*", "exclude": ""}
    return CrawlOrder(start_url=START, page=RunRequest(START, headers={"cookie": "secret"}), **(given | changes))  # type: ignore[arg-type]


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
    assert parts.register.order(parts.register.create(given)) == given
    assert parts.register.order("nobody") is None
    assert parts.register.look("nobody") is None


def test_one_that_is_not_enabled_is_kept_and_does_not_run(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(enabled=False, interval="hourly")
    parts.clock.now += 10 * HOUR
    assert (parts.run(), parts.register.begin_due_runs(), parts.run()) == (0, 0, 0)
    assert (parts.seen(crawl).fields["state"], parts.seen(crawl).active) == ("delayed", 0)
    assert all(0 < redis.ttl(f"{SPACE}:{name}:{crawl}") <= HOUR for name in ("record", "order"))
    parts.register.cancel(crawl)
    assert parts.seen(crawl).fields["state"] == "delivered"


def test_a_recurring_crawl_runs_again_and_its_new_results_replace_the_old(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    assert parts.run(f"{START}1", f"{START}2") == 3
    assert parts.seen(crawl).fields["state"] == "delivered"
    assert (parts.register.begin_due_runs(), parts.run()) == (0, 0)
    parts.clock.now += HOUR
    assert (parts.register.begin_due_runs(), parts.register.begin_due_runs()) == (1, 0)
    fresh = parts.seen(crawl)
    assert (fresh.fields["state"], fresh.fields["run"], fresh.fields["cost"], fresh.done, fresh.active) == (
        "delayed",
        "2",
        "0",
        0,
        1,
    )
    assert float(fresh.fields["next"]) == NOW + 2 * HOUR
    assert parts.run(f"{START}3") == 2
    assert [json.loads(entry)["url"] for entry in parts.register.lists(crawl).completed] == [START, f"{START}3"]
    assert redis.ttl(f"{SPACE}:record:{crawl}") == redis.ttl(f"{SPACE}:order:{crawl}") == -1
    assert 0 < redis.ttl(f"{SPACE}:completed:{crawl}") <= HOUR


def test_a_run_that_still_goes_on_delays_the_next(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    [page] = parts.frontier.claim(1).pages
    parts.clock.now += HOUR
    assert parts.register.begin_due_runs() == 0
    assert parts.seen(crawl).fields["run"] == "1"
    [page] = parts.frontier.claim(1).pages
    parts.frontier.write([parts.frontier.settling(page, Ending(b"{}", 1, None))])
    parts.clock.now += 5
    assert parts.register.begin_due_runs() == 1
    assert float(parts.seen(crawl).fields["next"]) == NOW + 2 * HOUR


def test_cancelling_ends_the_schedule_too(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    assert parts.run() == 1
    assert parts.register.cancel(crawl)
    assert parts.seen(crawl).fields["state"] == "delivered"
    assert "next" not in parts.seen(crawl).fields
    assert not redis.zcard(f"{SPACE}:due:schedule")
    parts.clock.now += 2 * HOUR
    assert (parts.register.begin_due_runs(), parts.run()) == (0, 0)
    assert 0 < redis.ttl(f"{SPACE}:record:{crawl}") <= HOUR
    going = parts.create(interval="hourly")
    parts.register.cancel(going)
    parts.clock.now += 2 * HOUR
    assert (parts.register.begin_due_runs(), parts.run()) == (0, 0)


def test_a_run_begins_once_whoever_else_saw_that_it_was_due(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    parts.run()
    parts.clock.now += HOUR
    assert parts.register.begin_due_runs() == 1
    parts.run()
    # Another had read the run's number before.
    late = {"id": crawl, "last_run": "1", "url": START, "next_run": NOW + 2 * HOUR, "summary": None, "busy_wait": 5}
    assert parts.register.lua.run("begin_run", **late) == "stale"
    assert parts.seen(crawl).fields["run"] == "2"


def test_a_run_whose_order_cannot_be_read_holds_up_no_other(redis: Redis) -> None:
    parts = Parts(redis)
    crawls = [parts.create(interval="hourly") for _ in range(3)]
    parts.run()
    for crawl, text in zip(crawls, ("nonsense", '{"page": 1}'), strict=False):
        redis.set(f"{SPACE}:order:{crawl}", text)
    parts.clock.now += HOUR
    assert (parts.register.begin_due_runs(), parts.seen(crawls[2]).fields["run"]) == (1, "2")
    assert not redis.zcount(f"{SPACE}:due:schedule", 0, parts.clock.now)


def test_the_schedule_of_what_is_no_more_is_forgotten(redis: Redis) -> None:
    parts = Parts(redis)
    crawl = parts.create(interval="hourly")
    redis.delete(f"{SPACE}:record:{crawl}")
    parts.clock.now += HOUR
    assert parts.register.begin_due_runs() == 0
    assert not redis.zcard(f"{SPACE}:due:schedule")


def test_the_whole_document_shows_the_order_without_its_secrets(redis: Redis) -> None:
    parts = Parts(redis)
    given = order(callback="http://u:secret@hook.test/", interval="daily", name="n", budget=9)
    crawl = parts.register.create(given)
    parts.run(f"{START}1")
    document = crawl_documents.whole(crawl, given, parts.seen(crawl))
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
