"""Rounds of pages and of events, within this process, against a real ledger and a real site."""

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
from service.crawls.crawler import MOST_LOST, PageLimits
from service.crawls.frontier import Frontier
from service.crawls.order import CrawlOrderRules, read_crawl_order
from service.crawls.outbox import Outbox
from service.crawls.store import CRAWL, SPACE, CrawlSnapshot, ServiceCrawls
from tests.service_process import eventually
from tests.service_target import Target, serve


@pytest.fixture
def target() -> Iterator[Target]:
    with serve() as one:
        yield one


class Crew:
    """A crew whose messages are worked off one after the other."""

    def __init__(
        self, redis: Redis, *, retry_for: float = 5, body: int = 10**7, lease: float = 60, attempt: float = 5
    ) -> None:
        self.messages: deque[tuple[str, str]] = deque()
        self.register = ServiceCrawls(redis, retention=3600)
        limits = PageLimits(attempt=attempt, retry_for=retry_for, body=body, private=True, most=4)
        frontier = Frontier(self.register, per_host=8, share=4, lease=lease, patience=retry_for)
        self.crew = CrawlWorker(
            *(self.register, frontier, Outbox(self.register, per_crawl=16, share=8, lease=60), limits),
            lambda lane, token: self.messages.append((lane, token)),
        )

    def create(self, start: str, **options: Any) -> str:
        document = {"start_url": start, "max_depth": 5, "url_regexp_include": ".*", **options}
        return self.register.create(
            read_crawl_order(document, CrawlOrderRules(private=True, max_depth=10, max_budget=1000))
        )

    def round(self) -> None:
        """What is due now, by one round each."""
        self.crew.wake()
        while self.messages:
            lane, token = self.messages.popleft()
            (self.crew.crawl if lane == CRAWL else self.crew.tell)(token)

    def round_until(self, stopping: Callable[[], bool]) -> None:
        """Rounds of a process that is told to stop."""
        usual, self.crew = self.crew, replace(self.crew, stopping=stopping)
        self.round()
        self.crew = usual

    def delivered(self, crawl: str) -> CrawlSnapshot:
        def look() -> CrawlSnapshot | None:
            self.round()
            seen = self.register.look(crawl)
            return seen if seen and seen.fields["state"] == "delivered" else None

        found: CrawlSnapshot = eventually(look)
        return found


def documents(target: Target) -> list[dict[str, Any]]:
    return [json.loads(asked.body) for asked in target.at("/hook")]


def test_pages_and_their_events(redis: Redis, target: Target) -> None:
    crew, callback = Crew(redis), {"type": "webhook", "url": f"{target.base}/hook"}
    end = crew.delivered(crew.create(f"{target.base}/tree/30/0/", callback=callback))
    assert (end.done, end.failed, end.fields["cost"]) == (30, 0, "30")
    assert len(documents(target)) == 31
    assert sorted(asked.path for asked in target.asked if asked.path != "/hook") == sorted(
        f"/tree/30/0/{number or ''}" for number in range(30)
    )


def test_nothing_is_asked_beyond_the_last_level(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    assert crew.delivered(crew.create(f"{target.base}/tree/30/0/", max_depth=1)).done == 5
    assert crew.delivered(crew.create(f"{target.base}/tree/30/0/", max_depth=0)).done == 1


def test_links_of_an_error_page_are_not_followed(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    end = crew.delivered(crew.create(f"{target.base}/site/gone"))
    assert (end.done, end.fields["cost"]) == (1, "1")
    assert [asked.path for asked in target.asked] == ["/site/gone"]


def test_pages_with_very_many_links(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    crawl = crew.create(f"{target.base}/many/100000", max_depth=1, crawl_budget=20)
    end = crew.delivered(crawl)
    assert (end.done, end.fields["cost"]) == (20, "20")
    assert len(crew.register.lists(crawl).left) == 100_000 - 19


def test_a_host_that_says_when_is_not_asked_before(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    assert crew.delivered(crew.create(f"{target.base}/resting/")).done == 21
    refused, again = (asked.at for asked in target.at("/resting/1"))
    assert again - refused >= 0.99
    # The other three slots' pages were under way by then; what waited within the round was given back.
    assert len([asked for asked in target.asked if refused < asked.at < refused + 0.99]) <= 3
    assert len([asked for asked in target.asked if asked.at > refused + 0.99]) >= 21 - 1 - 8


def test_a_host_that_only_says_429_is_soon_asked_no_more(redis: Redis, target: Target) -> None:
    crew = Crew(redis, retry_for=1.5)
    end = crew.delivered(crew.create(f"{target.base}/busy/"))
    assert (end.done, end.failed) == (1, 40)
    # Eight under way at once, after a second once more, and then the rest is longer than a page is tried.
    assert len(target.asked) <= 1 + 2 * 8


def test_a_host_that_rests_for_an_hour_is_asked_no_more_and_its_pages_fail_in_their_time(
    redis: Redis, target: Target
) -> None:
    crew = Crew(redis, retry_for=1)
    callback = {"type": "webhook", "url": f"{target.base}/hook"}
    end = crew.delivered(crew.create(f"{target.base}/busy/3600/", callback=callback))
    assert (end.done, end.failed) == (1, 40)
    assert len([asked for asked in target.asked if asked.path != "/hook"]) <= 1 + 8
    reasons = {page["failReason"] for page in documents(target) if page.get("status") == "failed"}
    assert reasons == {"its host wants to be left alone for longer than a page is tried"}


def test_a_page_whose_worker_dies_again_and_again_is_given_up(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    callback = {"type": "webhook", "url": f"{target.base}/hook"}
    crawl = crew.create(f"{target.base}/tree/1/0/", callback=callback)
    for _ in range(MOST_LOST):
        [page] = crew.crew.frontier.claim(1, "dead#1").pages
        redis.zadd(f"{SPACE}:claimed:{crawl}", {page.url: 0})  # its lease has ended
        redis.zadd(f"{SPACE}:due:crawl", {crawl: 0})
        redis.delete(f"{SPACE}:slots:{page.host}", f"{SPACE}:working:crawl")
    end = crew.delivered(crawl)
    assert (end.done, end.failed) == (0, 1)
    assert documents(target)[0]["failReason"] == f"given up: its worker ended {MOST_LOST} times while it had this page"
    assert not target.at("/tree/1/0/")


def test_pages_that_wait_too_long_for_their_turn_are_given_back_in_time(redis: Redis, target: Target) -> None:
    # Each page takes 0.4 s, an attempt may take 1 s, and a lease is 1.5 s: the third page of a slot would begin at 0.8
    # s.
    crew = Crew(redis, lease=1.5, attempt=1)
    root = f"{target.base}/tree/14/0.4/"
    end = crew.delivered(crew.create(root, max_depth=2))
    assert (end.done, end.failed) == (14, 0)
    assert len(target.asked) == 14  # none of them twice


def test_an_answer_that_comes_too_late_is_tried_again_until_its_time_is_over(redis: Redis, target: Target) -> None:
    crew = Crew(redis, retry_for=0.5, attempt=0.2)
    callback = {"type": "webhook", "url": f"{target.base}/hook"}
    crew.delivered(crew.create(f"{target.base}/slow/5", callback=callback))
    [page, _] = documents(target)
    assert (page["status"], page["attempts"]) == ("failed", 2)
    assert page["failReason"].startswith("no answer in ")
    assert page["failReason"].endswith(" (2 attempts)")


def test_a_round_that_lost_a_page_and_got_it_back_writes_its_links(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    root = f"{target.base}/tree/5/0.3/"
    crawl = crew.create(root)
    round_ = Thread(target=crew.round)
    round_.start()
    eventually(lambda: target.asked)
    redis.zadd(f"{SPACE}:claimed:{crawl}", {root: 0})  # its lease has ended under way
    redis.zadd(f"{SPACE}:due:crawl", {crawl: 0})
    round_.join(20)
    assert crew.delivered(crawl).done == 5
    assert len(target.at("/tree/5/0.3/")) == 2


def test_a_round_that_is_to_stop_gives_back_the_pages_that_it_has_not_asked_for(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    crawl = crew.create(f"{target.base}/tree/30/0/")
    crew.round_until(lambda: len(target.asked) >= 5)
    assert len(target.asked) == 5
    # Of the sixteen that it then has, four slots let some in; the rest are given back before the round ends, and due
    # again at once.
    crew.round_until(lambda: len(target.asked) >= 6)
    assert len(target.asked) <= 10
    end = crew.delivered(crawl)
    assert (end.done, end.failed) == (30, 0)
    assert len(target.asked) == 30


def test_a_broker_that_is_away_ends_no_round(redis: Redis, target: Target) -> None:
    crew = Crew(redis)
    crawl = crew.create(f"{target.base}/tree/30/0/", callback={"type": "webhook", "url": f"{target.base}/hook"})

    def broken(lane: str, token: str) -> None:
        raise ConnectionError(lane, token)

    [token] = crew.crew.frontier.dispatch(120, 4)
    replace(crew.crew, start=broken).crawl(token)
    seen = crew.register.look(crawl)
    assert seen is not None
    assert (seen.done, seen.fields["state"]) == (30, "completed")


def test_a_page_that_breaks_the_service_fails_alone(redis: Redis, target: Target) -> None:
    crew = Crew(redis, retry_for=0.1)
    slow, broken = crew.create(f"{target.base}/tree/2/0.3/"), crew.create(f"{target.base}/page")
    order = json.loads(str(redis.get(f"{SPACE}:order:{broken}")))
    redis.set(f"{SPACE}:order:{broken}", json.dumps(order | {"max_depth": "deep"}))
    assert crew.delivered(broken).failed == 1
    assert json.loads(crew.register.lists(broken).failed[0])["failReason"].startswith("the service broke: TypeError")
    assert crew.delivered(slow).done == 2
    assert len(target.at("/tree/2/0.3/")) == 1


def test_an_event_that_breaks_the_service_fails_alone(redis: Redis, target: Target) -> None:
    crew, callback = Crew(redis), {"type": "webhook", "url": f"{target.base}/hook"}
    crawls = [crew.create(f"{target.base}/page", callback=callback) for _ in range(2)]
    [token] = crew.crew.frontier.dispatch(120, 4)
    crew.crew.crawl(token)
    redis.hdel(f"{SPACE}:record:{crawls[0]}", "outcome")
    redis.zadd(f"{SPACE}:outbox:{crawls[0]}", {"summary": 0})
    redis.zadd(f"{SPACE}:due:deliver", {crawls[0]: 0})
    assert crew.delivered(crawls[1]).done == 1
    assert len(documents(target)) == 3
