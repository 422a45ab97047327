"""Events of several crawls in one write, as the receiver groups them: each is taken as it would be alone."""

import asyncio

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.recorder import Recorder
from longhaul.ledger.connection import connect_loop
from longhaul.ledger.results import stream
from longhaul.scraperapi.crawl_protocol import read_event
from tests.flow.crawl_world import SITE
from tests.flow.crawler import events, failed_page, page, summary


@pytest.fixture
def record(crawls, redis_url):
    """Records (crawl, document) pairs in one write; what became of each."""

    def record(*delivered):
        async def scenario():
            redis = connect_loop(redis_url)
            try:
                known = {id_: crawls.store.get(id_) for id_, _ in delivered}
                return await Recorder(crawls.store, redis).record(
                    [(known[id_], read_event(document)) for id_, document in delivered]
                )
            finally:
                await redis.aclose()

        return asyncio.run(scenario())

    return record


def test_each_event_has_its_own_answer_in_the_order_in_which_they_came(crawls, record):
    crawls.create("a", "b")
    by_crawl = {order["start_url"][-2]: f"remote-{number}" for number, order in enumerate(crawls.crawler.orders, 1)}
    one, two, end = events(by_crawl["a"], f"{SITE}a/", 2)
    other = page(by_crawl["b"], f"{SITE}b/")
    became = record(
        ("a", one),
        ("b", other),
        ("a", one),
        ("a", end),
        ("b", other),
        ("a", page("stranger", f"{SITE}a/")),
        ("a", two),
    )
    # The pages of a crawl are written together, so that the summary between them finds them all.
    assert became == ["taken", "taken", "seen", "complete", "seen", "foreign", "taken"]
    assert (len(crawls.pages("a")), len(crawls.pages("b"))) == (2, 1)


def test_pages_of_one_write_are_counted_each_for_itself(crawls, record):
    crawls.create("a")
    record(
        ("a", page("remote-1", f"{SITE}1", credits=10)),
        ("a", failed_page("remote-1", f"{SITE}2")),
        ("a", page("remote-1", f"{SITE}3", credits=5)),
    )
    arrived = crawls.store.get("a").arrived
    assert (arrived.pages, arrived.failed, arrived.credits) == (3, 1, 15)


def test_the_page_that_makes_the_count_full_says_so(crawls, record):
    crawls.create("a")
    urls = [f"{SITE}{number}" for number in range(3)]
    assert record(("a", summary("remote-1", urls))) == ["noted"]
    assert record(*(("a", page("remote-1", url)) for url in urls)) == ["taken", "taken", "complete"]


def test_where_memory_is_out_nothing_has_happened_and_all_are_taken_later(crawls, record, redis):
    crawls.create("a")
    delivered = [("a", page("remote-1", f"{SITE}{number}")) for number in range(3)]
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            record(*delivered)
    finally:
        redis.config_set("maxmemory", 0)
    assert (crawls.store.get("a").arrived.pages, crawls.pages("a")) == (0, [])
    assert record(*delivered) == ["taken"] * 3


def test_where_one_crawl_cannot_be_written_its_error_is_that_of_the_whole_write(crawls, record, redis):
    crawls.order("a")
    crawls.order("b", queue="broken")
    crawls.run(CrawlStep.CREATE)
    redis.set(stream("broken"), "no stream")
    remote = {order["start_url"][-2]: f"remote-{number}" for number, order in enumerate(crawls.crawler.orders, 1)}
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        record(("b", page(remote["b"], f"{SITE}b/")), ("a", page(remote["a"], f"{SITE}a/")))
    # Delivered again, a taken event is only seen.
    assert record(("a", page(remote["a"], f"{SITE}a/"))) == ["seen"]
    # And what could not be written is taken.
    redis.delete(stream("broken"))
    assert record(("b", page(remote["b"], f"{SITE}b/"))) == ["taken"]
