"""The runs of a recurring crawl."""

from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.decider import EndRun, Polled
from longhaul.crawls.webhooks import EventReceipt
from longhaul.scraperapi.crawl_models import CrawlProgress
from longhaul.scraperapi.crawl_protocol import read_event
from tests.flow.crawl_world import SITE
from tests.flow.crawler import events, page, summary
from tests.wire import as_json

CREATE, POLL, CANCEL = CrawlStep


def lanes(world):
    return {lane.name: lane for lane in world.store.books().lanes}


class TestRecurring:
    def recurring(self, world):
        world.create("a", interval="daily", name="shop")
        assert world.crawler.orders[0]["schedule"] == {"name": "shop", "interval": "daily"}

    def test_every_run_has_its_number_its_pages_and_its_summary(self, crawls):
        self.recurring(crawls)
        for number in (1, 2, 3):
            crawls.receive("a", *events("remote-1", f"{SITE}a/", 2, run=number))
        assert [(one["id"], one["run"], one["received"]) for one in crawls.ends("a")] == [
            ("a.1", 1, 2),
            ("a.2", 2, 2),
            ("a.3", 3, 2),
        ]
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2, 2, 3, 3]
        assert len({one["id"] for one in crawls.pages("a")}) == 6
        counts = crawls.store.books().counts
        assert (counts["runs"], counts["pages"]) == (3, 6)
        assert (crawls.books().open, crawls.books().faults) == (1, [])

    def test_where_the_remote_does_not_number_them_a_run_ends_with_its_summary(self, crawls):
        self.recurring(crawls)
        for _ in range(2):
            crawls.receive("a", *events("remote-1", f"{SITE}a/", 2))
            # Delivered once more at once: no new run.
            crawls.receive("a", *events("remote-1", f"{SITE}a/", 2))
            assert crawls.store.get("a").summary is None
            crawls.clock.now += 24 * 3600
        assert [one["run"] for one in crawls.ends("a")] == [1, 2]
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2, 2]

    def test_a_remote_that_numbers_its_runs_as_it_likes_ends_each_run_once(self, crawls):
        self.recurring(crawls)
        for number in (1, 20_261_121, 20_261_122):
            crawls.receive("a", *events("remote-1", f"{SITE}a/", 2, run=number)[:2])
        crawls.receive("a", events("remote-1", f"{SITE}a/", 2, run=20_261_122)[-1])
        assert [(one["run"], one["received"]) for one in crawls.ends("a")] == [(1, 2), (20_261_121, 2), (20_261_122, 2)]

    def test_a_run_soon_after_another_is_a_run_of_its_own(self, crawls):
        self.recurring(crawls)
        for _ in range(2):
            crawls.receive("a", *events("remote-1", f"{SITE}a/", 2))
            crawls.clock.now += 150
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2, 2]

    def test_a_late_page_belongs_to_its_own_run(self, crawls):
        self.recurring(crawls)
        first = events("remote-1", f"{SITE}a/", 2, run=1)
        crawls.receive("a", *first)
        crawls.receive("a", page("remote-1", f"{SITE}a/new", 1, run=1), first[0])
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 1]
        assert crawls.store.get("a").arrived.pages == 0

    def test_a_run_without_a_summary_ends_when_the_next_begins(self, crawls):
        self.recurring(crawls)
        crawls.receive("a", *events("remote-1", f"{SITE}a/", 2, run=1)[:2])
        crawls.receive("a", *events("remote-1", f"{SITE}a/", 2, run=2))
        assert [(one["run"], one["received"], one.get("note")) for one in crawls.ends("a")] == [
            (1, 2, "no summary came before the next run"),
            (2, 2, None),
        ]

    def test_a_summary_that_comes_before_its_run_is_known_begins_it(self, crawls):
        self.recurring(crawls)
        *pages, last = events("remote-1", f"{SITE}a/", 2, run=2)
        crawls.receive("a", page("remote-1", f"{SITE}a/", run=1), last)
        assert [(one["run"], one["received"]) for one in crawls.ends("a")] == [(1, 1)]
        crawls.receive("a", *pages)
        assert [(one["run"], one["received"], one["missing"]) for one in crawls.ends("a")[1:]] == [(2, 2, 0)]

    def test_a_summary_of_a_run_that_is_over_changes_nothing(self, crawls):
        self.recurring(crawls)
        first, second = (events("remote-1", f"{SITE}a/", 2, run=run) for run in (1, 2))
        crawls.receive("a", first[0], second[0], first[-1])
        assert crawls.store.get("a").summary is None
        assert [(one["run"], one["received"]) for one in crawls.ends("a")] == [(1, 1)]

    def test_whoever_polls_when_a_run_ends_is_too_late(self, crawls):
        self.recurring(crawls)
        crawls.receive("a", page("remote-1", f"{SITE}a/", run=1))
        now, claimed = crawls.clock.now, crawls.claim(POLL)
        crawls.receive("a", page("remote-1", f"{SITE}a/", run=2))
        assert crawls.apply(POLL, claimed, Polled(now, CrawlProgress(1, 0, 0), now)) == "stale"
        # And a cancellation need not wait for it either.
        crawls.store.cancel("a")
        crawls.run(CANCEL)
        assert [(one["status"], one["run"]) for one in crawls.ends("a")] == [("finished", 1), ("cancelled", 2)]

    def test_a_run_that_is_over_is_not_ended_again(self, crawls):
        self.recurring(crawls)
        crawls.receive("a", page("remote-1", f"{SITE}a/", run=1))
        late = crawls.store.get("a")
        crawls.receive("a", page("remote-1", f"{SITE}a/", run=2))
        assert crawls.apply(POLL, late, EndRun(crawls.clock.now)) == "stale"
        assert len(crawls.ends("a")) == 1

    def test_a_page_without_a_number_belongs_to_the_run_that_goes_on_whatever_the_receiver_remembers(self, crawls):
        self.recurring(crawls)
        known = crawls.store.get("a")
        crawls.receive("a", *events("remote-1", f"{SITE}a/", 2))
        crawls.clock.now += 24 * 3600
        assert crawls.webhooks.take(known, read_event(page("remote-1", f"{SITE}a/0"))) is EventReceipt.TAKEN
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2]

    def test_a_run_that_ends_while_it_is_cancelled_leaves_it_in_one_lane(self, crawls):
        self.recurring(crawls)
        crawls.store.cancel("a")
        crawls.receive("a", *events("remote-1", f"{SITE}a/", 2, run=1))
        assert crawls.books().faults == []
        crawls.run(CANCEL)
        assert [(one["status"], one["run"]) for one in crawls.ends("a")] == [("finished", 1), ("cancelled", 2)]

    def test_what_remembers_a_run_is_there_for_one_more_run_and_not_for_ever(self, crawls):
        self.recurring(crawls)
        crawls.receive("a", *events("remote-1", f"{SITE}a/", 1, run=1))
        assert 0 < crawls.redis.ttl("longhaul:{crawls}:previous:a") <= 24 * 3600
        crawls.receive("a", summary("remote-1", [], run=2))
        assert crawls.redis.exists("longhaul:{crawls}:previous:a") == 0

    def test_one_that_is_cancelled_at_the_remote_recurs_no_more(self, crawls):
        self.recurring(crawls)
        crawls.receive("a", page("remote-1", f"{SITE}a/"), summary("remote-1", [f"{SITE}a/"], state="cancelled"))
        assert crawls.end("a")["status"] == "cancelled"

    def test_between_two_runs_nothing_ends_however_long_it_takes(self, crawls):
        self.recurring(crawls)
        crawls.crawler.before = lambda ask: (
            as_json({"done": 2, "failed": 0, "active": 0, "status": "delivered"}) if ask.method == "GET" else None
        )
        crawls.receive("a", *events("remote-1", f"{SITE}a/", 2, run=1))
        for _ in range(40):
            crawls.run(POLL)
            crawls.clock.now += 24 * 3600
        assert len(crawls.ends("a")) == 1
        assert crawls.books().open == 1
        # After months it is still polled now and then, and not all the time.
        crawls.run(POLL)
        crawls.clock.now += 1
        asked = crawls.crawler.asked["GET"]
        crawls.run(POLL)
        assert asked == crawls.crawler.asked["GET"] == 40
