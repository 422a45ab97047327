"""The frontier against a real ledger: which pages are claimed in which order, by whom, and how a crawl ends."""

from __future__ import annotations

from redis import Redis

from service.crawls.store import SPACE
from tests.builders import Clock
from tests.unit.service.crawls.crawl_parts import (
    CALLBACK,
    completed,
    failed,
    frontier_of,
    order,
    settle,
    snapshot_of,
    url_of,
)


def test_a_level_waits_for_the_one_before(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    [start] = frontier.claim(10).pages
    assert not frontier.claim(10).pages
    settle(frontier, start, completed(start, url_of(1), url_of(2)))
    one, two = frontier.claim(10).pages
    assert (one.depth, two.depth) == (1, 1)
    settle(frontier, one, completed(one, url_of(3)))
    assert not frontier.claim(10).pages
    assert (snapshot_of(store, crawl).active, snapshot_of(store, crawl).done) == (2, 2)
    settle(frontier, two, failed(two))
    [three] = frontier.claim(10).pages
    assert (three.url, three.depth) == (url_of(3), 2)
    settle(frontier, three, completed(three))
    end = snapshot_of(store, crawl)
    assert (end.fields["state"], end.done, end.failed, end.active, end.fields["cost"]) == ("delivered", 3, 1, 0, "3")


def test_a_crawl_whose_start_page_failed_has_failed(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order(callback=CALLBACK))
    [start] = frontier.claim(10).pages
    settle(frontier, start, failed(start))
    assert snapshot_of(store, crawl).fields["state"] == "failed"


def test_the_budget_is_never_exceeded_whatever_is_under_way(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order(budget=5))
    [start] = frontier.claim(10).pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(1, 20))))
    claimed = frontier.claim(10).pages
    assert len(claimed) == 4
    assert not frontier.claim(10).pages
    settle(frontier, claimed[0], completed(claimed[0], cost=0))
    [another] = frontier.claim(10).pages  # what was not charged is free again
    settle(frontier, claimed[1], failed(claimed[1]))
    [last] = frontier.claim(10).pages
    for page in (*claimed[2:], another, last):
        assert snapshot_of(store, crawl).fields["state"] == "running"
        settle(frontier, page, completed(page))
    end = snapshot_of(store, crawl)
    assert (end.fields["state"], end.fields["cost"], end.done, end.failed, end.active) == ("delivered", "5", 6, 1, 0)
    lists = store.run_lists(crawl)
    assert len({*lists.left}) == len(lists.left) == 20 - 7


def test_pages_that_cost_nothing_are_bounded_by_the_budget_too(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order(max_depth=None, budget=2))
    [page] = frontier.claim(10).pages
    settle(frontier, page, completed(page, *(url_of(number) for number in range(1, 500)), cost=0))
    while pages := frontier.claim(50).pages:
        for page in pages:
            settle(frontier, page, completed(page, cost=0))
        clock.now += 1
    end = snapshot_of(store, crawl)
    assert (end.fields["state"], end.done, end.fields["cost"]) == ("delivered", 120, "0")
    assert len(store.run_lists(crawl).left) == 500 - 120


def test_a_run_ends_after_a_week_whatever_is_left(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    [start] = frontier.claim(10).pages
    settle(frontier, start, completed(start, url_of(1), url_of(2)))
    one, _ = frontier.claim(10).pages
    frontier.write([frontier.retrying(one, 9e12, 1, clock.now)])
    clock.now += 7 * 24 * 3600 - 1
    [two] = frontier.claim(10).pages
    clock.now += 1
    assert not frontier.claim(10).pages
    end = snapshot_of(store, crawl)
    assert (end.fields["outcome"], end.done) == ("completed", 1)
    assert sorted(store.run_lists(crawl).left) == [url_of(1), url_of(2)]
    assert settle(frontier, two, completed(two)) == "stale"


def test_the_pages_of_one_crawl_are_bounded(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    redis.eval("for number = 1, 999990 do redis.call('SADD', KEYS[1], number) end", 1, f"{SPACE}:seen:{crawl}")
    [start] = frontier.claim(10).pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(1, 50))))
    assert snapshot_of(store, crawl).waiting == 9


def test_a_lease_that_ends_gives_its_page_back_and_fences_the_one_before(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    [first] = frontier.claim(10).pages
    clock.now += 60
    [second] = frontier.claim(10).pages
    assert (second.url, second.lost_leases, second.attempts) == (first.url, 1, 0)
    assert settle(frontier, first, completed(first, url_of(1))) == "stale"
    assert frontier.write([frontier.retrying(first, clock.now, 1, clock.now)]) == ["stale"]
    assert settle(frontier, second, completed(second)) == "settled"
    assert settle(frontier, second, completed(second)) == "stale"
    assert (snapshot_of(store, crawl).done, snapshot_of(store, crawl).fields["state"]) == (1, "delivered")


def test_a_page_is_retried_when_it_is_due_and_its_level_waits_for_it(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    [start] = frontier.claim(10).pages
    settle(frontier, start, completed(start, url_of(1), url_of(2)))
    one, two = frontier.claim(10).pages
    assert frontier.write([frontier.retrying(one, clock.now + 5, 1, clock.now)]) == ["retried"]
    settle(frontier, two, completed(two, url_of(3)))
    assert not frontier.claim(10).pages
    assert frontier.dispatch(10, 10) == []
    clock.now += 5
    assert len(frontier.dispatch(10, 10)) == 1
    [again] = frontier.claim(10).pages
    assert (again.url, again.depth, again.attempts, again.first_attempt, again.lost_leases) == (
        one.url,
        1,
        1,
        clock.now - 5,
        0,
    )
    settle(frontier, again, failed(again))
    assert not redis.exists(f"{SPACE}:tries:{again.crawl_id}")
    assert [page.url for page in frontier.claim(10).pages] == [url_of(3)]
    assert snapshot_of(store, crawl).active == 1


def test_a_redirect_counts_as_seen_from_the_next_level_on(redis: Redis, clock: Clock) -> None:
    for first_the_redirect in (True, False):
        store, frontier = frontier_of(redis, clock)
        crawl = store.create(order())
        [start] = frontier.claim(10).pages
        settle(frontier, start, completed(start, url_of(1), url_of(2), url_of(3)))
        pages = {page.url: page for page in frontier.claim(10).pages}
        # 1 leads to 3, which is of the same level, and to 4, which 2 links to.
        for url in (url_of(1), url_of(2)) if first_the_redirect else (url_of(2), url_of(1)):
            page = pages[url]
            settle(
                frontier,
                page,
                completed(page, redirected_to=url_of(4)) if url == url_of(1) else completed(page, url_of(4)),
            )
        settle(frontier, pages[url_of(3)], completed(pages[url_of(3)], redirected_to=url_of(1)))
        assert not frontier.claim(10).pages
        assert (snapshot_of(store, crawl).done, snapshot_of(store, crawl).fields["state"]) == (4, "delivered")


def test_a_page_of_the_same_level_is_read_though_another_was_redirected_to_it_first(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    [start] = frontier.claim(1).pages
    settle(frontier, start, completed(start, url_of(1), url_of(2)))
    [one] = frontier.claim(1).pages
    settle(frontier, one, completed(one, url_of(3), url_of(4), redirected_to=url_of(2)))
    [two] = frontier.claim(1).pages
    assert two.url == url_of(2)
    settle(frontier, two, completed(two, redirected_to=url_of(4)))
    # 3 comes before 4, and leads there as well; but 4 had been read on the level before.
    [three] = frontier.claim(1).pages
    settle(frontier, three, completed(three, url_of(5), redirected_to=url_of(4)))
    # With 4 the level has nothing left: the same claim opens the next.
    [five] = frontier.claim(5).pages
    assert (five.url, five.depth) == (url_of(5), 3)
    settle(frontier, five, completed(five))
    assert snapshot_of(store, crawl).done == 5


def test_a_credit_that_a_pausing_page_does_not_need_is_free_at_once(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order(budget=2))
    [start] = frontier.claim(10).pages
    settle(frontier, start, completed(start, url_of(1), url_of(2)))
    [one] = frontier.claim(10).pages
    assert not frontier.claim(10).pages
    frontier.write([frontier.retrying(one, clock.now + 100, 1, clock.now)])
    [two] = frontier.claim(10).pages
    settle(frontier, two, completed(two))
    end = snapshot_of(store, crawl)  # nothing is left to pay the other page with
    assert (end.fields["state"], end.fields["cost"], store.run_lists(crawl).left) == ("delivered", "2", [one.url])


def test_after_a_cancellation_no_page_is_claimed_and_what_is_under_way_is_refused(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order(callback=CALLBACK))
    [start] = frontier.claim(10).pages
    settle(frontier, start, completed(start, *(url_of(number) for number in range(1, 5))))
    one, two = frontier.claim(2).pages
    frontier.write([frontier.retrying(two, clock.now + 5, 1, clock.now)])
    assert store.cancel(crawl)
    assert store.cancel(crawl)
    assert not frontier.claim(10).pages
    assert settle(frontier, one, completed(one, event='"url":"x"}')) == "stale"
    end = snapshot_of(store, crawl)
    assert (end.fields["state"], end.done, end.active) == ("cancelled", 1, 0)
    assert sorted(store.run_lists(crawl).left) == [url_of(number) for number in range(1, 5)]
    assert not store.cancel("nobody")


def test_many_links_are_written_in_several_calls_and_only_by_the_holder_of_the_page(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order())
    [start] = frontier.claim(10).pages
    assert settle(frontier, start, completed(start, *(url_of(number) for number in range(25_000)))) == "settled"
    assert not frontier.keep_links(start, [url_of(30_000)])
    assert snapshot_of(store, crawl).waiting == 24_999


def test_a_seen_url_takes_at_most_300_bytes_beyond_itself(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    store.create(order())
    [start] = frontier.claim(1).pages
    urls = [f"http://site.test/a/rather/long/path/to/page-{number}.html" for number in range(20_000)]
    before = int(redis.info("memory")["used_memory"])
    settle(frontier, start, completed(start, *urls))
    waiting = int(redis.info("memory")["used_memory"]) - before
    for _ in range(100):
        calls = [frontier.settling(page, completed(page)) for page in frontier.claim(100).pages]
        assert len(calls) == 100
        frontier.write(calls)
    settled = int(redis.info("memory")["used_memory"]) - before
    beyond = [(used - sum(map(len, urls))) / len(urls) for used in (waiting, settled)]
    assert max(beyond) <= 300, beyond


def test_nothing_of_an_ended_crawl_stays_for_ever(redis: Redis, clock: Clock) -> None:
    store, frontier = frontier_of(redis, clock)
    crawl = store.create(order(budget=2))
    [start] = frontier.claim(10).pages
    settle(frontier, start, completed(start, url_of(1), url_of(2), redirected_to="http://site.test/home"))
    [one] = frontier.claim(10).pages
    settle(frontier, one, completed(one, url_of(3)))
    keys = [str(key) for key in redis.scan_iter(f"{SPACE}:*:{crawl}")]
    assert {key.split(":")[3] for key in keys} == {"record", "order", "waiting", "next", "completed"}
    assert all(0 < redis.ttl(key) <= 3600 for key in keys)
    assert not redis.zcard(f"{SPACE}:due:crawl")
