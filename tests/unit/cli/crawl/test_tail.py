"""What `crawl --follow` sees of a crawl, beside consumers that may be faster."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from celery import Celery

from cli.crawl.tail import CrawlTail
from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.decider import Complete
from longhaul.crawls.store import CrawlStore
from longhaul.ledger.connection import connect
from longhaul.ledger.results import Reader, stream
from longhaul.scraperapi.crawl_models import CrawlRequest, PageEvent, SummaryEvent
from longhaul.work.decisions import Sent
from tasks.plumbing.task_results import TaskResults
from tests.builders import crawl_limits
from tests.conftest import free_port
from tests.installation import until
from workers.local.embedded_server import serving


class World:
    """Crawls of one ledger, whose events come from the test."""

    def __init__(self, redis, redis_url):
        self.redis = redis
        self.store = CrawlStore(redis, crawl_limits(), TaskResults(3600).make)
        self.app = Celery(broker=redis_url, backend=redis_url)
        self.away = []

    def tail(self):
        return CrawlTail(self.redis, self.store, self.app, "q", self.away.append)

    def begin(self, crawl_id):
        self.store.order(crawl_id, NewCrawl(CrawlRequest("http://x/", max_depth=1), "http://r", queue="q"))
        claimed = self.store.claim(CrawlStep.CREATE, "default")
        now, (crawl,) = claimed.now, claimed.items
        self.store.apply(CrawlStep.CREATE, [(crawl, Sent(f"remote-{crawl_id}", now + 60))], now)

    def page(self, crawl_id, url):
        crawl = self.store.get(crawl_id)
        self.store.record(
            [self.store.record_pages(crawl, PageEvent(crawl.remote_id, url, 1, 1, 1, reason="no answer"))]
        )

    def end(self, crawl_id):
        crawl = self.store.get(crawl_id)
        told = SummaryEvent(crawl.remote_id, "finished", 0, 0, crawl.arrived.pages)
        self.store.record([self.store.record_summary(crawl, told)])
        self.store.apply(CrawlStep.POLL, [(self.store.get(crawl_id), Complete())], time.time())


@pytest.fixture
def world(redis, redis_url):
    world = World(redis, redis_url)
    with closing(world.app):
        yield world


def seen(tail, crawl_id):
    """(addresses of all pages, the last update)."""
    updates = list(tail.updates(crawl_id))
    assert not [one for one in updates[:-1] if one.ended]
    return [page["url"] for one in updates for page in one.pages], updates[-1]


def test_every_page_comes_before_the_end_and_stays_in_the_queue(world):
    tail = world.tail()
    world.begin("mine")
    world.begin("other")
    for n in range(250):
        world.page("mine", f"http://x/{n}")
        world.page("other", f"http://other/{n}")
    world.end("mine")
    urls, last = seen(tail, "mine")
    assert urls == [f"http://x/{n}" for n in range(250)]
    assert (last.ended["status"], last.ended["received"], last.ended["missing"]) == ("finished", 250, 0)
    assert last.crawl.arrived.failed == 250
    assert world.redis.xlen(stream("q")) == 501


def test_what_came_before_is_not_shown(world):
    world.begin("mine")
    world.page("mine", "http://x/before")
    tail = world.tail()
    world.page("mine", "http://x/after")
    world.end("mine")
    assert seen(tail, "mine")[0] == ["http://x/after"]


def test_the_end_is_seen_where_a_consumer_has_taken_everything(world):
    tail = world.tail()
    world.begin("mine")
    world.page("mine", "http://x/1")
    world.end("mine")
    reader = Reader(world.redis, "q", "group", "faster")
    reader.acknowledge(reader.read())
    urls, last = seen(tail, "mine")
    assert urls == []
    assert last.ended["received"] == 1


def test_a_crawl_that_the_ledger_has_lost_ends_the_updates(world):
    tail = world.tail()
    world.begin("mine")
    updates = tail.updates("mine")
    assert next(updates).crawl.id == "mine"
    world.redis.flushall()
    last = next(updates)
    assert (last.crawl, last.ended) == (None, None)
    assert list(updates) == []


def test_a_crawl_is_recorded_or_not(world):
    tail = world.tail()
    assert not tail.recorded("mine")
    world.begin("mine")
    assert tail.recorded("mine")
    assert tail.refusal("mine") == ""


@pytest.mark.process
def test_a_ledger_that_goes_away_is_said_and_waited_for(tmp_path):
    port = free_port()
    with serving(port, tmp_path) as url, closing(connect(url)) as redis:
        world = World(redis, url)
        tail = world.tail()
        world.begin("mine")
        updates = tail.updates("mine")
        next(updates)
    with ThreadPoolExecutor(1) as pool, closing(world.app), closing(redis):
        coming = pool.submit(next, updates)
        until(lambda: world.away, "words about it")
        assert not tail.recorded("mine")
        with serving(port, tmp_path):
            assert coming.result(20).crawl.id == "mine"
