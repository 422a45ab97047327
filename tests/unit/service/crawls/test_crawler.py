"""Rounds of pages and of events in this process, against a real ledger and a real site."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from redis import Redis

from service.crawls.crawl_worker import CrawlWorker
from service.crawls.crawler import BACKOFF_TOO_LONG, MAX_LOST_LEASES
from service.crawls.frontier import Frontier
from service.crawls.order import CrawlOrderRules, read_crawl_order
from service.crawls.outbox import Outbox
from service.crawls.store import CRAWL, SPACE, CrawlSnapshot, ServiceCrawlStore
from service.fetching.fetch import FetchLimits
from tests.service_process import eventually
from tests.service_target import Target, serve


@pytest.fixture
def target() -> Iterator[Target]:
    with serve() as one:
        yield one


class Worker:
    """A crawl worker whose rounds run one after the other."""

    def __init__(
        self, redis: Redis, *, retry_for: float = 5, body: int = 10**7, lease: float = 60, attempt: float = 5
    ) -> None:
        self.rounds: deque[tuple[str, str]] = deque()
        self.store = ServiceCrawlStore(redis, retention=3600)
        self.worker = CrawlWorker(
            start=lambda lane, token: self.rounds.append((lane, token)),
            max_rounds=4,
            store=self.store,
            frontier=Frontier(self.store, per_host=8, share=4, lease=lease, retry_for=retry_for),
            outbox=Outbox(self.store, per_crawl=16, share=8, lease=60),
            limits=FetchLimits(attempt_seconds=attempt, body_bytes=body, private=True),
            retry_for=retry_for,
        )

    def create(self, start: str, **options: Any) -> str:
        document = {"start_url": start, "max_depth": 5, "url_regexp_include": ".*", **options}
        return self.store.create(
            read_crawl_order(document, CrawlOrderRules(private=True, max_depth=10, max_budget=1000))
        )

    def run_rounds(self) -> None:
        """Run the rounds that are started for what is due now."""
        self.worker.wake()
        while self.rounds:
            lane, token = self.rounds.popleft()
            (self.worker.crawl if lane == CRAWL else self.worker.deliver)(token)

    def run_rounds_until(self, stopping: Callable[[], bool]) -> None:
        """Run the rounds of a process that is to stop."""
        usual, self.worker = self.worker, replace(self.worker, stopping=stopping)
        self.run_rounds()
        self.worker = usual

    def delivered(self, crawl: str) -> CrawlSnapshot:
        def is_delivered() -> CrawlSnapshot | None:
            self.run_rounds()
            snapshot = self.store.snapshot(crawl)
            return snapshot if snapshot and snapshot.fields["state"] == "delivered" else None

        found: CrawlSnapshot = eventually(is_delivered)
        return found


def documents(target: Target) -> list[dict[str, Any]]:
    return [json.loads(asked.body) for asked in target.at("/hook")]


def test_pages_and_their_events(redis: Redis, target: Target) -> None:
    worker, callback = Worker(redis), {"type": "webhook", "url": f"{target.base}/hook"}
    end = worker.delivered(worker.create(f"{target.base}/tree/30/0/", callback=callback))
    assert (end.done, end.failed, end.fields["cost"]) == (30, 0, "30")
    assert len(documents(target)) == 31
    assert sorted(asked.path for asked in target.asked if asked.path != "/hook") == sorted(
        f"/tree/30/0/{number or ''}" for number in range(30)
    )


def test_nothing_is_asked_beyond_the_last_level(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    assert worker.delivered(worker.create(f"{target.base}/tree/30/0/", max_depth=1)).done == 5
    assert worker.delivered(worker.create(f"{target.base}/tree/30/0/", max_depth=0)).done == 1


def test_links_of_an_error_page_are_not_followed(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    end = worker.delivered(worker.create(f"{target.base}/site/gone"))
    assert (end.done, end.fields["cost"]) == (1, "1")
    assert [asked.path for asked in target.asked] == ["/site/gone"]


def test_pages_with_very_many_links(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    crawl = worker.create(f"{target.base}/many/100000", max_depth=1, crawl_budget=20)
    end = worker.delivered(crawl)
    assert (end.done, end.fields["cost"]) == (20, "20")
    assert len(worker.store.run_lists(crawl).left) == 100_000 - 19


def test_a_host_that_names_a_pause_is_not_asked_before_its_end(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    assert worker.delivered(worker.create(f"{target.base}/backoff/")).done == 21
    refused, again = (asked.at for asked in target.at("/backoff/1"))
    assert again - refused >= 0.99
    # The pages of the other three slots were under way by then; those that waited in the round were given back.
    assert len([asked for asked in target.asked if refused < asked.at < refused + 0.99]) <= 3
    assert len([asked for asked in target.asked if asked.at > refused + 0.99]) >= 21 - 1 - 8


def test_a_host_that_only_says_429_is_soon_asked_no_more(redis: Redis, target: Target) -> None:
    worker = Worker(redis, retry_for=1.5)
    end = worker.delivered(worker.create(f"{target.base}/busy/"))
    assert (end.done, end.failed) == (1, 40)
    # Eight are fetched at once, after a second once more; then the backoff is longer than a page is tried.
    assert len(target.asked) <= 1 + 2 * 8


def test_a_host_that_wants_an_hours_pause_is_asked_no_more_and_its_pages_fail_in_their_time(
    redis: Redis, target: Target
) -> None:
    worker = Worker(redis, retry_for=1)
    callback = {"type": "webhook", "url": f"{target.base}/hook"}
    end = worker.delivered(worker.create(f"{target.base}/busy/3600/", callback=callback))
    assert (end.done, end.failed) == (1, 40)
    assert len([asked for asked in target.asked if asked.path != "/hook"]) <= 1 + 8
    reasons = {page["failReason"] for page in documents(target) if page.get("status") == "failed"}
    assert reasons == {BACKOFF_TOO_LONG}


def test_a_page_that_kills_its_worker_each_time_is_given_up(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    callback = {"type": "webhook", "url": f"{target.base}/hook"}
    crawl = worker.create(f"{target.base}/tree/1/0/", callback=callback)
    for _ in range(MAX_LOST_LEASES):
        [page] = worker.worker.frontier.claim(1, "dead#1").pages
        redis.zadd(f"{SPACE}:claimed:{crawl}", {page.url: 0})  # its lease has ended
        redis.zadd(f"{SPACE}:due:crawl", {crawl: 0})
        redis.delete(f"{SPACE}:slots:{page.host}", f"{SPACE}:working:crawl")
    end = worker.delivered(crawl)
    assert (end.done, end.failed) == (0, 1)
    assert (
        documents(target)[0]["failReason"]
        == f"given up: its worker ended {MAX_LOST_LEASES} times while it had this page"
    )
    assert not target.at("/tree/1/0/")


def test_pages_whose_lease_would_end_under_way_are_given_back(redis: Redis, target: Target) -> None:
    # A page takes 1.5 s, an attempt may take 2.1 s and a lease 4 s: the third page of a slot would end at 4.5 s.
    worker = Worker(redis, lease=4, attempt=2.1)
    crawl = worker.create(f"{target.base}/tree/14/1.5/", max_depth=2)
    thread = Thread(target=worker.delivered, args=(crawl,))
    thread.start()
    ended_leases = 0
    while thread.is_alive():
        ended_leases += int(redis.zcount(f"{SPACE}:claimed:{crawl}", "-inf", worker.store.now()))
        thread.join(0.02)
    snapshot = worker.store.snapshot(crawl)
    assert snapshot is not None
    assert (snapshot.done, snapshot.failed, ended_leases) == (14, 0, 0)
    assert len(target.asked) == 14  # none of them twice


def test_an_answer_that_comes_too_late_is_tried_again_until_its_time_is_over(redis: Redis, target: Target) -> None:
    worker = Worker(redis, retry_for=0.5, attempt=0.2)
    callback = {"type": "webhook", "url": f"{target.base}/hook"}
    worker.delivered(worker.create(f"{target.base}/slow/5", callback=callback))
    [page, _] = documents(target)
    assert (page["status"], page["attempts"]) == ("failed", 2)
    assert page["failReason"].startswith("no answer in ")
    assert page["failReason"].endswith(" (2 attempts)")


def test_a_round_that_lost_a_page_and_got_it_back_writes_its_links(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    root = f"{target.base}/tree/5/0.3/"
    crawl = worker.create(root)
    round_thread = Thread(target=worker.run_rounds)
    round_thread.start()
    eventually(lambda: target.asked)
    redis.zadd(f"{SPACE}:claimed:{crawl}", {root: 0})  # its lease has ended under way
    redis.zadd(f"{SPACE}:due:crawl", {crawl: 0})
    round_thread.join(20)
    assert worker.delivered(crawl).done == 5
    assert len(target.at("/tree/5/0.3/")) == 2


def test_a_round_that_is_to_stop_gives_back_the_pages_that_it_has_not_asked_for(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    crawl = worker.create(f"{target.base}/tree/30/0/")
    worker.run_rounds_until(lambda: len(target.asked) >= 5)
    assert len(target.asked) == 5
    # It then has sixteen pages and four slots; it gives the pages without a slot back before it ends, due at once.
    worker.run_rounds_until(lambda: len(target.asked) >= 6)
    assert len(target.asked) <= 10
    end = worker.delivered(crawl)
    assert (end.done, end.failed) == (30, 0)
    assert len(target.asked) == 30


def test_a_broker_that_is_away_ends_no_round(redis: Redis, target: Target) -> None:
    worker = Worker(redis)
    crawl = worker.create(f"{target.base}/tree/30/0/", callback={"type": "webhook", "url": f"{target.base}/hook"})

    def broken(lane: str, token: str) -> None:
        raise ConnectionError(lane, token)

    [token] = worker.worker.frontier.dispatch(120, 4)
    replace(worker.worker, start=broken).crawl(token)
    snapshot = worker.store.snapshot(crawl)
    assert snapshot is not None
    assert (snapshot.done, snapshot.fields["state"]) == (30, "completed")


def test_a_page_that_raises_an_unexpected_error_fails_alone(redis: Redis, target: Target) -> None:
    worker = Worker(redis, retry_for=0.1)
    slow, broken = worker.create(f"{target.base}/tree/2/0.3/"), worker.create(f"{target.base}/page")
    order = json.loads(str(redis.get(f"{SPACE}:order:{broken}")))
    redis.set(f"{SPACE}:order:{broken}", json.dumps(order | {"max_depth": "deep"}))
    assert worker.delivered(broken).failed == 1
    assert json.loads(worker.store.run_lists(broken).failed[0])["failReason"].startswith(
        "unexpected error in the service: TypeError"
    )
    assert worker.delivered(slow).done == 2
    assert len(target.at("/tree/2/0.3/")) == 1


def test_an_event_that_raises_an_unexpected_error_fails_alone(redis: Redis, target: Target) -> None:
    worker, callback = Worker(redis), {"type": "webhook", "url": f"{target.base}/hook"}
    crawls = [worker.create(f"{target.base}/page", callback=callback) for _ in range(2)]
    [token] = worker.worker.frontier.dispatch(120, 4)
    worker.worker.crawl(token)
    redis.hdel(f"{SPACE}:record:{crawls[0]}", "outcome")
    redis.zadd(f"{SPACE}:outbox:{crawls[0]}", {"summary": 0})
    redis.zadd(f"{SPACE}:due:deliver", {crawls[0]: 0})
    assert worker.delivered(crawls[1]).done == 1
    assert len(documents(target)) == 3
