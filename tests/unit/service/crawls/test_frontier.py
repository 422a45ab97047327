"""The frontier against a real ledger: what is taken, by whom, and how a crawl ends."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from service.crawls.frontier import AHEAD, Ending, Frontier, FrontierPage
from service.crawls.order import CrawlOrder
from service.crawls.store import SPACE, CrawlSnapshot, ServiceCrawls
from service.jobs.submission import RunRequest
from tests.builders import Clock

START = "http://site.test/"
HOOK = "http://hook.test/"


def order(start: str = START, **changes: object) -> CrawlOrder:
    given: dict[str, object] = {
        "max_depth": 10,
        "budget": None,
        "include": ".*",
        "exclude": "",
        "page": RunRequest(start),
    }
    return CrawlOrder(start_url=start, **(given | changes))  # type: ignore[arg-type]


def frontier_of(
    redis: Redis, clock: Clock, per_host: int = 50, share: int = 50, lease: float = 60
) -> tuple[ServiceCrawls, Frontier]:
    register = ServiceCrawls(redis, retention=3600, clock=clock)
    return register, Frontier(register, per_host=per_host, share=share, lease=lease, patience=60)


def fine(page: FrontierPage, *links: str, cost: int = 1, redirected: str = "", event: str | None = None) -> Ending:
    return Ending(f'{{"url":"{page.url}","cost":{cost}}}'.encode(), cost, event, links=links, redirected=redirected)


def bad(page: FrontierPage) -> Ending:
    return Ending(f'{{"url":"{page.url}","failReason":"x"}}'.encode(), 0, None, fine=False)


def settle(frontier: Frontier, page: FrontierPage, ending: Ending) -> str:
    links = ending.links
    assert len(links) <= 1000 or frontier.keep(page, links[1000:])
    return frontier.write([frontier.settling(page, replace(ending, links=links[:1000]))])[0]


def seen(register: ServiceCrawls, crawl_id: str) -> CrawlSnapshot:
    progress = register.look(crawl_id)
    assert progress is not None
    return progress


def url_of(number: int) -> str:
    return f"http://site.test/{number}" if number else START


def walk(
    register: ServiceCrawls, frontier: Frontier, crawl: str, graph: Mapping[str, Sequence[str]], dice: random.Random
) -> dict[str, int]:
    """Work the crawl off in any order; the depth of each page."""
    depths: dict[str, int] = {}
    held: list[FrontierPage] = []
    while seen(register, crawl).fields["state"] in ("delayed", "running"):
        held += frontier.claim(dice.randint(1, 5)).pages
        dice.shuffle(held)
        for _ in range(dice.randint(0, len(held))):
            page = held.pop()
            assert page.url not in depths
            depths[page.url] = page.depth
            assert settle(frontier, page, fine(page, *(graph.get(page.url, ()) if page.depth < 3 else ()))) == "settled"
    assert not held
    return depths


def breadth_first(graph: Mapping[str, Sequence[str]], deepest: int) -> dict[str, int]:
    depths, level = {START: 0}, [START]
    for depth in range(1, deepest + 1):
        found = dict.fromkeys(link for url in level for link in graph.get(url, ()))
        level = [url for url in found if url not in depths]
        depths |= dict.fromkeys(level, depth)
    return depths


@given(links=st.lists(st.lists(st.integers(0, 14), max_size=6), max_size=15), seed=st.integers())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_page_is_taken_once_at_its_shortest_depth_whatever_comes_first(
    redis: Redis, links: list[list[int]], seed: int
) -> None:
    graph = {url_of(page): [url_of(link) for link in to] for page, to in enumerate(links)}
    register, frontier = frontier_of(redis, Clock())
    depths = walk(register, frontier, register.create(order()), graph, random.Random(seed))  # noqa: S311  (a repeatable one)
    assert depths == breadth_first(graph, 3)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_level_waits_for_the_one_before(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    [start] = frontier.claim(10).pages
    assert not frontier.claim(10).pages
    settle(frontier, start, fine(start, url_of(1), url_of(2)))
    one, two = frontier.claim(10).pages
    assert (one.depth, two.depth) == (1, 1)
    settle(frontier, one, fine(one, url_of(3)))
    assert not frontier.claim(10).pages
    assert (seen(register, crawl).active, seen(register, crawl).done) == (2, 2)
    settle(frontier, two, bad(two))
    [three] = frontier.claim(10).pages
    assert (three.url, three.depth) == (url_of(3), 2)
    settle(frontier, three, fine(three))
    end = seen(register, crawl)
    assert (end.fields["state"], end.done, end.failed, end.active, end.fields["cost"]) == ("delivered", 3, 1, 0, "3")


def test_a_crawl_whose_start_page_failed_has_failed(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order(callback=HOOK))
    [start] = frontier.claim(10).pages
    settle(frontier, start, bad(start))
    assert seen(register, crawl).fields["state"] == "failed"


def test_the_budget_is_never_exceeded_whatever_is_under_way(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order(budget=5))
    [start] = frontier.claim(10).pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(1, 20))))
    taken = frontier.claim(10).pages
    assert len(taken) == 4
    assert not frontier.claim(10).pages
    settle(frontier, taken[0], fine(taken[0], cost=0))
    [another] = frontier.claim(10).pages  # what was not charged is free again
    settle(frontier, taken[1], bad(taken[1]))
    [last] = frontier.claim(10).pages
    for page in (*taken[2:], another, last):
        assert seen(register, crawl).fields["state"] == "running"
        settle(frontier, page, fine(page))
    end = seen(register, crawl)
    assert (end.fields["state"], end.fields["cost"], end.done, end.failed, end.active) == ("delivered", "5", 6, 1, 0)
    lists = register.lists(crawl)
    assert len({*lists.left}) == len(lists.left) == 20 - 7


def test_pages_that_cost_nothing_are_bounded_by_the_budget_too(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order(max_depth=None, budget=2))
    [page] = frontier.claim(10).pages
    settle(frontier, page, fine(page, *(url_of(number) for number in range(1, 500)), cost=0))
    while pages := frontier.claim(50).pages:
        for page in pages:
            settle(frontier, page, fine(page, cost=0))
        clock.now += 1
    end = seen(register, crawl)
    assert (end.fields["state"], end.done, end.fields["cost"]) == ("delivered", 120, "0")
    assert len(register.lists(crawl).left) == 500 - 120


def test_a_run_ends_after_a_week_whatever_is_left(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    [start] = frontier.claim(10).pages
    settle(frontier, start, fine(start, url_of(1), url_of(2)))
    one, _ = frontier.claim(10).pages
    frontier.write([frontier.again(one, 9e12, 1, clock.now)])
    clock.now += 7 * 24 * 3600 - 1
    [two] = frontier.claim(10).pages
    clock.now += 1
    assert not frontier.claim(10).pages
    end = seen(register, crawl)
    assert (end.fields["outcome"], end.done) == ("completed", 1)
    assert sorted(register.lists(crawl).left) == [url_of(1), url_of(2)]
    assert settle(frontier, two, fine(two)) == "stale"


def test_the_pages_of_one_crawl_are_bounded(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    redis.eval("for number = 1, 999990 do redis.call('SADD', KEYS[1], number) end", 1, f"{SPACE}:seen:{crawl}")
    [start] = frontier.claim(10).pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(1, 50))))
    assert seen(register, crawl).waiting == 9


def test_a_lease_that_ends_gives_its_page_back_and_fences_the_one_before(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    [first] = frontier.claim(10).pages
    clock.now += 60
    [second] = frontier.claim(10).pages
    assert (second.url, second.lost, second.attempts) == (first.url, 1, 0)
    assert settle(frontier, first, fine(first, url_of(1))) == "stale"
    assert frontier.write([frontier.again(first, clock.now, 1, clock.now)]) == ["stale"]
    assert settle(frontier, second, fine(second)) == "settled"
    assert settle(frontier, second, fine(second)) == "stale"
    assert (seen(register, crawl).done, seen(register, crawl).fields["state"]) == (1, "delivered")


def test_a_page_is_tried_again_when_its_time_has_come_and_holds_up_its_level(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    [start] = frontier.claim(10).pages
    settle(frontier, start, fine(start, url_of(1), url_of(2)))
    one, two = frontier.claim(10).pages
    assert frontier.write([frontier.again(one, clock.now + 5, 1, clock.now)]) == ["retried"]
    settle(frontier, two, fine(two, url_of(3)))
    assert not frontier.claim(10).pages
    assert frontier.dispatch(10, 10) == []
    clock.now += 5
    assert len(frontier.dispatch(10, 10)) == 1
    [again] = frontier.claim(10).pages
    assert (again.url, again.depth, again.attempts, again.first, again.lost) == (one.url, 1, 1, clock.now - 5, 0)
    settle(frontier, again, bad(again))
    assert not redis.exists(f"{SPACE}:tries:{again.crawl}")
    assert [page.url for page in frontier.claim(10).pages] == [url_of(3)]
    assert seen(register, crawl).active == 1


def test_a_host_that_wants_a_rest_gets_it_from_every_round(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    register.create(order())
    [start] = frontier.claim(10, "a#1").pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(1, 12)), "http://other.test/"))
    [one] = frontier.claim(1, "a#1").pages
    frontier.exchange((), 0, "a#1", {"site.test": 0})
    frontier.write([frontier.again(one, clock.now + 7, 1, clock.now, backoff_until=clock.now + 7)])
    register.create(order())
    left = []
    for _ in range(6):
        left += [page.url for page in frontier.claim(100, "b#1").pages]
        clock.now += 1
    assert left == ["http://other.test/"]
    clock.now += 1
    assert {page.url for page in frontier.claim(100, "b#1").pages} >= {url_of(1), START}


def resting(redis: Redis, clock: Clock, seconds: float) -> tuple[Frontier, str]:
    """A crawl of 900 pages of one host, which wants to be left alone for so long, before one of another."""
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    [start] = frontier.claim(10, "a#1").pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(1, 900)), "http://other.test/"))
    [one] = frontier.claim(1, "a#1").pages
    frontier.exchange((), 0, "a#1", {"site.test": 0})
    frontier.write([frontier.again(one, clock.now + 1, 1, clock.now, backoff_until=clock.now + seconds)])
    return frontier, crawl


def test_the_pages_of_a_resting_host_hide_no_other_host(redis: Redis, clock: Clock) -> None:
    frontier, _ = resting(redis, clock, 7)
    assert [page.url for page in frontier.claim(100, "b#1").pages] == ["http://other.test/"]
    clock.now += 6.9
    assert not frontier.claim(100, "b#1").pages
    clock.now += 0.1
    pages = frontier.claim(100, "b#1").pages
    assert len(pages) == 100
    assert all(page.first in (None, clock.now - 7) for page in pages)


def test_the_pages_of_a_host_that_rests_for_longer_than_they_are_tried_are_taken_to_fail(
    redis: Redis, clock: Clock
) -> None:
    frontier, _ = resting(redis, clock, 3000)
    assert [page.url for page in frontier.claim(100, "b#1").pages] == ["http://other.test/"]
    clock.now += 59.9
    assert not frontier.claim(100, "b#1").pages
    clock.now += 0.1
    taken = frontier.claim(100, "b#1")
    assert len(taken.pages) == 100
    assert {page.first for page in taken.pages} == {clock.now - 60}
    assert taken.grants[0].backoff_until == clock.now - 60 + 3000


def test_a_host_that_has_not_said_when_rests_ever_longer_until_it_answers(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    register.create(order())

    def rest() -> float:
        return float(redis.hget(f"{SPACE}:host_backoff:site.test", "until") or 0) - clock.now

    for expected in (1, 2, 4):
        [page] = frontier.claim(1).pages
        frontier.write([frontier.again(page, clock.now, 1, clock.now, backoff_until=0)])
        assert rest() == pytest.approx(expected, abs=0.01)
        clock.now += rest()
    [page] = frontier.claim(1).pages
    settle(frontier, page, fine(page, url_of(1), url_of(2)))
    one, two = frontier.claim(2).pages
    for late in (one, two):  # under way together: they count as one
        settle(frontier, late, replace(bad(late), backoff_until=0))
    assert rest() == pytest.approx(1, abs=0.01)
    assert seen(register, one.crawl).fields["state"] == "delivered"


def test_no_host_rests_for_ever(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    register.create(order())
    [page] = frontier.claim(1).pages
    frontier.write([frontier.again(page, clock.now, 1, clock.now, backoff_until=clock.now + 1e6)])
    assert float(redis.hget(f"{SPACE}:host_backoff:site.test", "until") or 0) == clock.now + 3600


def test_all_rounds_together_hold_no_more_of_a_host_than_its_slots(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock, per_host=5, share=3)
    register.create(order())
    [start] = frontier.claim(10, "a#0").pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(1, 60)), "http://other.test/"))
    frontier.exchange((), 0, "a#0", {"site.test": 0})
    grants = {}
    for token in ("a#1", "a#2", "a#3"):
        taken = frontier.claim(1000, token)
        grants[token] = {grant.host: grant.slots for grant in taken.grants}
        assert sum(page.host == "site.test" for page in taken.pages) == AHEAD * grants[token].get("site.test", 0)
    assert [grants[token].get("site.test", 0) for token in grants] == [3, 2, 0]
    clock.now += 1
    _, taken = frontier.exchange((), 1000, "a#1", {"site.test": 9})
    assert not [page for page in taken.pages if page.host == "site.test"]
    _, taken = frontier.exchange((), 0, "a#1", {"site.test": 0})  # it has none left, so it gives its slots back
    assert [(grant.host, grant.slots) for grant in taken.grants] == [("site.test", 0)]
    clock.now += 1
    assert [grant.slots for grant in frontier.claim(1000, "a#3").grants] == [3]


def test_many_pages_of_a_busy_host_hide_no_idle_one_for_long(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock, per_host=8, share=4)
    register.create(order())
    [start] = frontier.claim(10, "a#1").pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(1, 900)), "http://other.test/"))
    held = {"site.test": len(frontier.claim(120, "a#1").pages)}
    pages: list[FrontierPage] = []
    for _ in range(3):
        clock.now += 1
        pages += frontier.exchange((), 100, "a#1", held)[1].pages
    assert [page.url for page in pages] == ["http://other.test/"]


def test_the_slots_of_a_round_that_died_are_soon_free(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock, per_host=2, share=2)
    register.create(order())
    assert frontier.claim(10, "dead#1").pages
    other = register.create(order())
    assert not frontier.claim(10, "a#1").pages
    clock.now += 15
    frontier.exchange((), 0, "dead#1", {"site.test": 1})  # it lives as yet
    clock.now += 15
    assert not frontier.claim(10, "a#1").pages
    clock.now += 6
    assert [page.crawl for page in frontier.claim(10, "a#1").pages] == [other]


def test_a_redirect_counts_as_seen_from_the_next_level_on(redis: Redis, clock: Clock) -> None:
    for first_the_redirect in (True, False):
        register, frontier = frontier_of(redis, clock)
        crawl = register.create(order())
        [start] = frontier.claim(10).pages
        settle(frontier, start, fine(start, url_of(1), url_of(2), url_of(3)))
        pages = {page.url: page for page in frontier.claim(10).pages}
        # 1 leads to 3, which is of the same level, and to 4, which 2 links to.
        for url in (url_of(1), url_of(2)) if first_the_redirect else (url_of(2), url_of(1)):
            page = pages[url]
            settle(frontier, page, fine(page, redirected=url_of(4)) if url == url_of(1) else fine(page, url_of(4)))
        settle(frontier, pages[url_of(3)], fine(pages[url_of(3)], redirected=url_of(1)))
        assert not frontier.claim(10).pages
        assert (seen(register, crawl).done, seen(register, crawl).fields["state"]) == (4, "delivered")


def test_a_page_of_the_same_level_is_read_though_another_was_redirected_to_it_first(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    [start] = frontier.claim(1).pages
    settle(frontier, start, fine(start, url_of(1), url_of(2)))
    [one] = frontier.claim(1).pages
    settle(frontier, one, fine(one, url_of(3), url_of(4), redirected=url_of(2)))
    [two] = frontier.claim(1).pages
    assert two.url == url_of(2)
    settle(frontier, two, fine(two, redirected=url_of(4)))
    # 3 comes before 4, and leads there as well; but 4 had been read on the level before.
    [three] = frontier.claim(1).pages
    settle(frontier, three, fine(three, url_of(5), redirected=url_of(4)))
    # With 4 the level has nothing left: the same claim opens the next.
    [five] = frontier.claim(5).pages
    assert (five.url, five.depth) == (url_of(5), 3)
    settle(frontier, five, fine(five))
    assert seen(register, crawl).done == 5


def test_a_credit_that_a_pausing_page_does_not_need_is_free_at_once(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order(budget=2))
    [start] = frontier.claim(10).pages
    settle(frontier, start, fine(start, url_of(1), url_of(2)))
    [one] = frontier.claim(10).pages
    assert not frontier.claim(10).pages
    frontier.write([frontier.again(one, clock.now + 100, 1, clock.now)])
    [two] = frontier.claim(10).pages
    settle(frontier, two, fine(two))
    end = seen(register, crawl)  # nothing is left to pay the other page with
    assert (end.fields["state"], end.fields["cost"], register.lists(crawl).left) == ("delivered", "2", [one.url])


def test_cancelling_takes_no_new_page_and_refuses_what_is_under_way(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order(callback=HOOK))
    [start] = frontier.claim(10).pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(1, 5))))
    one, two = frontier.claim(2).pages
    frontier.write([frontier.again(two, clock.now + 5, 1, clock.now)])
    assert register.cancel(crawl)
    assert register.cancel(crawl)
    assert not frontier.claim(10).pages
    assert settle(frontier, one, fine(one, event='"url":"x"}')) == "stale"
    end = seen(register, crawl)
    assert (end.fields["state"], end.done, end.active) == ("cancelled", 1, 0)
    assert sorted(register.lists(crawl).left) == [url_of(number) for number in range(1, 5)]
    assert not register.cancel("nobody")


def test_many_links_are_written_in_several_calls_and_only_by_who_holds_the_page(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order())
    [start] = frontier.claim(10).pages
    assert settle(frontier, start, fine(start, *(url_of(number) for number in range(25_000)))) == "settled"
    assert not frontier.keep(start, [url_of(30_000)])
    assert seen(register, crawl).waiting == 24_999


def test_the_oldest_crawl_is_not_the_only_one_that_is_served(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawls = {register.create(order(start=f"http://{name}.test/")) for name in "ab"}
    for page in frontier.claim(10).pages:
        settle(frontier, page, fine(page, *(f"{page.url}{number}" for number in range(10))))
    served = set()
    for _ in range(2):
        clock.now += 1
        served |= {page.crawl for page in frontier.claim(5).pages}
    assert served == crawls


def test_as_many_rounds_are_started_as_there_is_work_for(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock, per_host=8, share=4)
    register.create(order())
    [token] = frontier.dispatch(50, 10)
    assert frontier.dispatch(50, 10) == []
    [start] = frontier.claim(10, token).pages
    settle(frontier, start, fine(start, *(url_of(number) for number in range(100))))
    [second] = frontier.dispatch(50, 10)  # eight slots are two rounds
    register.leave("crawl", token)
    register.leave("crawl", second)
    assert len(frontier.dispatch(50, 1)) == 1


def test_a_seen_url_takes_at_most_300_bytes_beyond_itself(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    register.create(order())
    [start] = frontier.claim(1).pages
    urls = [f"http://site.test/a/rather/long/path/to/page-{number}.html" for number in range(20_000)]
    before = int(redis.info("memory")["used_memory"])
    settle(frontier, start, fine(start, *urls))
    waiting = int(redis.info("memory")["used_memory"]) - before
    for _ in range(100):
        calls = [frontier.settling(page, fine(page)) for page in frontier.claim(100).pages]
        assert len(calls) == 100
        frontier.write(calls)
    settled = int(redis.info("memory")["used_memory"]) - before
    beyond = [(used - sum(map(len, urls))) / len(urls) for used in (waiting, settled)]
    assert max(beyond) <= 300, beyond


def test_nothing_of_an_ended_crawl_stays_for_ever(redis: Redis, clock: Clock) -> None:
    register, frontier = frontier_of(redis, clock)
    crawl = register.create(order(budget=2))
    [start] = frontier.claim(10).pages
    settle(frontier, start, fine(start, url_of(1), url_of(2), redirected="http://site.test/home"))
    [one] = frontier.claim(10).pages
    settle(frontier, one, fine(one, url_of(3)))
    keys = [str(key) for key in redis.scan_iter(f"{SPACE}:*:{crawl}")]
    assert {key.split(":")[3] for key in keys} == {"record", "order", "waiting", "next", "completed"}
    assert all(0 < redis.ttl(key) <= 3600 for key in keys)
    assert not redis.zcard(f"{SPACE}:due:crawl")
