"""The frontier and its hosts, against a real ledger: slots, backoff, and how many rounds are started."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis

from service.crawls.frontier import PAGES_PER_SLOT, Frontier, FrontierPage
from service.crawls.store import SPACE
from tests.builders import Clock
from tests.unit.service.crawls.crawl_parts import (
    START_URL,
    completed,
    failed,
    frontier_of,
    order,
    settle,
    snapshot_of,
    url_of,
)


def test_every_round_backs_off_from_a_host_that_asks_for_it(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    store.create(order())
    [start] = frontier.claim(10, "a#1").pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(1, 12)), "http://other.test/"))
    [one] = frontier.claim(1, "a#1").pages
    frontier.exchange((), 0, "a#1", {"site.test": 0})
    frontier.write([frontier.retrying(one, clock.now + 7, 1, clock.now, backoff_until=clock.now + 7)])
    store.create(order())
    left = []
    for _ in range(6):
        left += [page.url for page in frontier.claim(100, "b#1").pages]
        clock.now += 1
    assert left == ["http://other.test/"]
    clock.now += 1
    assert {page.url for page in frontier.claim(100, "b#1").pages} >= {url_of(1), START_URL}


def backing_off(redis: Redis, clock: Clock, seconds: float) -> tuple[Frontier, str]:
    """A crawl of 900 pages of one host, which wants no requests for so long, and after them one of another."""
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    [start] = frontier.claim(10, "a#1").pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(1, 900)), "http://other.test/"))
    [one] = frontier.claim(1, "a#1").pages
    frontier.exchange((), 0, "a#1", {"site.test": 0})
    frontier.write([frontier.retrying(one, clock.now + 1, 1, clock.now, backoff_until=clock.now + seconds)])
    return frontier, crawl


def test_the_pages_of_a_host_in_backoff_hide_no_other_host(redis: Redis, clock: Clock) -> None:
    frontier, _ = backing_off(redis, clock, 7)
    assert [page.url for page in frontier.claim(100, "b#1").pages] == ["http://other.test/"]
    clock.now += 6.9
    assert not frontier.claim(100, "b#1").pages
    clock.now += 0.1
    pages = frontier.claim(100, "b#1").pages
    assert len(pages) == 100
    assert all(page.first_attempt in (None, clock.now - 7) for page in pages)


def test_the_pages_of_a_host_whose_backoff_is_longer_than_they_are_tried_are_claimed_to_fail(
    redis: Redis, clock: Clock
) -> None:
    frontier, _ = backing_off(redis, clock, 3000)
    assert [page.url for page in frontier.claim(100, "b#1").pages] == ["http://other.test/"]
    clock.now += 59.9
    assert not frontier.claim(100, "b#1").pages
    clock.now += 0.1
    claimed = frontier.claim(100, "b#1")
    assert len(claimed.pages) == 100
    assert {page.first_attempt for page in claimed.pages} == {clock.now - 60}
    assert claimed.grants[0].backoff_until == clock.now - 60 + 3000


def test_the_backoff_of_a_host_that_does_not_say_how_long_grows_until_it_answers(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    store.create(order())

    def backoff_seconds() -> float:
        return float(redis.hget(f"{SPACE}:host_backoff:site.test", "until") or 0) - clock.now

    for expected in (1, 2, 4):
        [page] = frontier.claim(1).pages
        frontier.write([frontier.retrying(page, clock.now, 1, clock.now, backoff_until=0)])
        assert backoff_seconds() == pytest.approx(expected, abs=0.01)
        clock.now += backoff_seconds()
    [page] = frontier.claim(1).pages
    settle(frontier, page, completed(page, url_of(1), url_of(2)))
    one, two = frontier.claim(2).pages
    for late in (one, two):  # fetched at once: they count as one
        settle(frontier, late, replace(failed(late), backoff_until=0))
    assert backoff_seconds() == pytest.approx(1, abs=0.01)
    assert snapshot_of(store, one.crawl_id).fields["state"] == "delivered"


def test_no_backoff_is_for_ever(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    store.create(order())
    [page] = frontier.claim(1).pages
    frontier.write([frontier.retrying(page, clock.now, 1, clock.now, backoff_until=clock.now + 1e6)])
    assert float(redis.hget(f"{SPACE}:host_backoff:site.test", "until") or 0) == clock.now + 3600


def test_all_rounds_together_hold_no_more_of_a_host_than_its_slots(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock, per_host=5, share=3)
    store.create(order())
    [start] = frontier.claim(10, "a#0").pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(1, 60)), "http://other.test/"))
    frontier.exchange((), 0, "a#0", {"site.test": 0})
    grants = {}
    for token in ("a#1", "a#2", "a#3"):
        claimed = frontier.claim(1000, token)
        grants[token] = {grant.host: grant.slots for grant in claimed.grants}
        assert sum(page.host == "site.test" for page in claimed.pages) == PAGES_PER_SLOT * grants[token].get(
            "site.test", 0
        )
    assert [grants[token].get("site.test", 0) for token in grants] == [3, 2, 0]
    clock.now += 1
    _, claimed = frontier.exchange((), 1000, "a#1", {"site.test": 9})
    assert not [page for page in claimed.pages if page.host == "site.test"]
    _, claimed = frontier.exchange((), 0, "a#1", {"site.test": 0})  # it has none left, so it gives its slots back
    assert [(grant.host, grant.slots) for grant in claimed.grants] == [("site.test", 0)]
    clock.now += 1
    assert [grant.slots for grant in frontier.claim(1000, "a#3").grants] == [3]


def test_many_pages_of_a_busy_host_hide_no_idle_one_for_long(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock, per_host=8, share=4)
    store.create(order())
    [start] = frontier.claim(10, "a#1").pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(1, 900)), "http://other.test/"))
    held = {"site.test": len(frontier.claim(120, "a#1").pages)}
    pages: list[FrontierPage] = []
    for _ in range(3):
        clock.now += 1
        pages += frontier.exchange((), 100, "a#1", held)[1].pages
    assert [page.url for page in pages] == ["http://other.test/"]


def test_the_slots_of_a_round_that_died_are_soon_free(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock, per_host=2, share=2)
    store.create(order())
    assert frontier.claim(10, "dead#1").pages
    other = store.create(order())
    assert not frontier.claim(10, "a#1").pages
    clock.now += 15
    frontier.exchange((), 0, "dead#1", {"site.test": 1})  # it is still alive
    clock.now += 15
    assert not frontier.claim(10, "a#1").pages
    clock.now += 6
    assert [page.crawl_id for page in frontier.claim(10, "a#1").pages] == [other]


def test_the_oldest_crawl_is_not_the_only_one_that_is_served(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawls = {store.create(order(start=f"http://{name}.test/")) for name in "ab"}
    for page in frontier.claim(10).pages:
        settle(frontier, page, completed(page, *(f"{page.url}{number}" for number in range(10))))
    served = set()
    for _ in range(2):
        clock.now += 1
        served |= {page.crawl_id for page in frontier.claim(5).pages}
    assert served == crawls


def test_as_many_rounds_are_started_as_there_is_work_for(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock, per_host=8, share=4)
    store.create(order())
    [token] = frontier.dispatch(50, 10)
    assert frontier.dispatch(50, 10) == []
    [start] = frontier.claim(10, token).pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(100))))
    [second] = frontier.dispatch(50, 10)  # eight slots are two rounds
    store.leave("crawl", token)
    store.leave("crawl", second)
    assert len(frontier.dispatch(50, 1)) == 1
