"""Webhooks that arrive twice, late, out of order, after the end, of the wrong crawl."""

from dataclasses import replace

import pytest

from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.decider import Polled
from longhaul.crawls.webhooks import EventReceipt
from longhaul.scraperapi.crawl_models import CrawlProgress
from longhaul.scraperapi.crawl_protocol import read_event
from longhaul.work.item import State
from tests.flow.crawl_world import GRACE, LEASE, SITE, WEEK
from tests.flow.crawler import events, failed_page, page, summary

CREATE, POLL, CANCEL = CrawlStep


def lanes(world):
    return {lane.name: lane for lane in world.store.books().lanes}


class TestEvents:
    def test_pages_told_twice_late_and_after_the_summary_are_each_one_envelope(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 4)
        crawls.receive("a", last, pages[2], pages[2], pages[0], last)
        assert crawls.ends("a") == []
        crawls.receive("a", pages[3], pages[0], pages[1])
        assert crawls.end("a")["missing"] == 0
        assert crawls.receive("a", *pages, last) == [EventReceipt.TAKEN] * 5
        assert len(crawls.pages("a")) == 4
        assert len(crawls.ends("a")) == 1

    def test_one_address_at_two_depths_is_two_pages(self, crawls):
        crawls.create("a")
        crawls.receive("a", page("remote-1", SITE, 0), page("remote-1", SITE, 1), page("remote-1", SITE, 1))
        assert [one["depth"] for one in crawls.pages("a")] == [0, 1]

    def test_failed_pages_are_waited_for_as_well(self, crawls):
        crawls.create("a")
        crawls.receive("a", page("remote-1", f"{SITE}a/"), summary("remote-1", [f"{SITE}a/"], failed=1))
        crawls.clock.now += GRACE - 1
        crawls.run(POLL)
        assert crawls.ends("a") == []
        crawls.receive("a", failed_page("remote-1", f"{SITE}b/"))
        assert crawls.end("a")["missing"] == 0

    def test_a_page_that_never_comes_is_waited_for_and_then_said(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 3)
        crawls.receive("a", *pages[:2], last)
        crawls.clock.now += GRACE - 20
        crawls.run(POLL)
        assert crawls.ends("a") == []
        crawls.clock.now += 30
        crawls.run(POLL)
        end = crawls.end("a")
        assert (end["status"], end["done"], end["received"], end["missing"]) == ("finished", 3, 2, 1)
        # What it has cost is the remote's word: the page that never came was charged, too.
        assert end["credits"] == 3
        # The remote is not polled once it has sent the summary.
        assert crawls.crawler.asked["GET"] == 0

    def test_a_summary_that_is_told_once_more_does_not_begin_the_waiting_anew(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 3)
        crawls.receive("a", pages[0], last)
        crawls.clock.now += GRACE - 10
        crawls.receive("a", last)
        crawls.clock.now += 20
        crawls.run(POLL)
        assert crawls.end("a")["missing"] == 2

    def test_a_summary_that_comes_after_the_end_changes_nothing(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 1)
        crawls.crawler.running.clear()
        crawls.receive("a", *pages)
        for _ in range(3):
            crawls.clock.now += GRACE + 700
            crawls.run(POLL)
        assert crawls.end("a")["note"] == "the remote does not know the crawl any more"
        assert crawls.receive("a", last) == [EventReceipt.TAKEN]
        assert crawls.store.get("a").summary is None
        assert len(crawls.ends("a")) == 1
        assert crawls.books().faults == []

    def test_whoever_polls_when_the_summary_comes_is_too_late(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 2)
        now, claimed = crawls.clock.now, crawls.claim(POLL)
        crawls.receive("a", pages[0], last)
        polled = Polled(now + 3600, CrawlProgress(0, 0, 2), None)
        assert crawls.apply(POLL, claimed, polled) == "stale"
        # And a cancellation need not wait for him either.
        crawls.store.cancel("a")
        crawls.run(CANCEL)
        assert crawls.end("a")["status"] == "cancelled"

    def test_a_page_that_comes_after_the_end_is_an_envelope_too_and_the_end_stands(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 2)
        crawls.receive("a", pages[0], last)
        crawls.clock.now += GRACE + 1
        crawls.run(POLL)
        # What remembers the pages goes when the record does, before the late page and after it.
        record, seen = (crawls.redis.ttl(f"longhaul:{{crawls}}:{kind}:a") for kind in ("record", "seen"))
        assert 0 < seen <= record + 1
        assert crawls.receive("a", pages[1], pages[1], pages[0]) == [EventReceipt.TAKEN] * 3
        assert [one["url"] for one in crawls.pages("a")] == [f"{SITE}a/0", f"{SITE}a/1"]
        assert crawls.end("a")["received"] == 1
        assert crawls.store.get("a").arrived.pages == 1
        record, seen = (crawls.redis.ttl(f"longhaul:{{crawls}}:{kind}:a") for kind in ("record", "seen"))
        assert 0 < seen <= record + 1

    def test_what_remembers_the_first_page_after_the_end_goes_with_the_record_too(self, crawls):
        crawls.create("a")
        pages = events("remote-1", f"{SITE}a/", 1)
        crawls.receive("a", pages[-1])
        crawls.clock.now += GRACE + 1
        crawls.run(POLL)
        assert crawls.end("a")["received"] == 0
        crawls.receive("a", *pages)
        assert 0 < crawls.redis.ttl("longhaul:{crawls}:seen:a") <= crawls.redis.ttl("longhaul:{crawls}:record:a") + 1

    def test_an_event_whose_remote_is_not_on_record_yet_makes_it_known(self, crawls):
        """The creator died between the remote's answer and its record; the remote crawls, and says so."""
        crawls.order("a")
        claimed = crawls.claim(CREATE)
        crawls.runner.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.receive("a", page("remote-1", f"{SITE}a/0"))
        crawl = crawls.store.get("a")
        assert (crawl.state, crawl.remote_id, crawl.arrived.pages) == (State.RUNNING, "remote-1", 1)
        crawls.clock.now += LEASE + 1
        crawls.bring_home()
        assert len(crawls.crawler.orders) == 1
        assert crawls.end("a")["missing"] == 0

    def test_a_crawl_that_ended_before_its_remote_was_known_stays_ended(self, crawls):
        """The creator died between the remote's answer and its record, and the crawl was cancelled meanwhile."""
        crawls.order("a")
        claimed = crawls.claim(CREATE)
        crawls.runner.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.store.cancel("a")
        crawls.clock.now += LEASE
        crawls.run(CREATE, CANCEL)
        assert crawls.end("a")["status"] == "cancelled"
        assert crawls.receive("a", page("remote-1", f"{SITE}a/0")) == [EventReceipt.FOREIGN]
        assert crawls.store.get("a").state is State.CANCELLED
        assert crawls.books().faults == []

    def test_what_a_fenced_off_creator_brings_home_changes_nothing(self, crawls):
        crawls.order("a")
        claimed = crawls.claim(CREATE)
        crawls.receive("a", page("remote-7", f"{SITE}a/0"))
        seen = crawls.runner.remote.create(claimed, WEEK, crawls.clock.now)
        decision = crawls.runner.decider.after_create(claimed, seen, crawls.clock.now)
        assert crawls.apply(CREATE, claimed, decision) == "stale"
        assert crawls.store.get("a").remote_id == "remote-7"

    def test_a_crawl_that_nobody_ordered_is_told_to_stop(self, crawls):
        crawls.create("a")
        crawls.crawler.post({"start_url": SITE})
        assert crawls.receive("a", page("remote-2", SITE)) == [EventReceipt.FOREIGN]
        assert crawls.pages("a") == []
        assert crawls.crawler.asked["DELETE"] == 1
        assert "remote-2" not in crawls.crawler.running

    def test_an_event_of_no_crawl_at_all_is_known_as_such(self, crawls):
        assert crawls.receive("nobody", page("remote-1", SITE)) == [EventReceipt.UNKNOWN]

    @pytest.mark.parametrize("last", ["page", "summary"])
    def test_where_the_receiver_dies_after_the_last_event_the_next_poll_ends_it_at_once(self, crawls, last):
        crawls.create("a")
        *pages, last_event = events("remote-1", f"{SITE}a/", 2)
        crawls.run(POLL)
        order = [*pages, last_event] if last == "summary" else [pages[0], last_event, pages[1]]
        crawls.receive("a", *order[:-1])
        call = crawls.webhooks.call_for(crawls.store.get("a"), read_event(order[-1]))
        assert crawls.store.record([call]) == ["complete"]
        crawls.run(POLL)
        assert (crawls.end("a")["received"], crawls.end("a")["missing"]) == (2, 0)

    def test_the_last_page_of_a_crawl_that_is_being_cancelled_leaves_it_in_one_lane(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 2)
        crawls.receive("a", pages[0], last)
        crawls.store.cancel("a")
        call = crawls.webhooks.call_for(crawls.store.get("a"), read_event(pages[1]))
        assert crawls.store.record([call]) == ["complete"]
        assert {name: lane.open for name, lane in lanes(crawls).items() if lane.open} == {"cancel:default": 1}

    def test_a_crawl_that_the_remote_says_has_failed_has_failed(self, crawls):
        crawls.create("a")
        crawls.receive("a", failed_page("remote-1", f"{SITE}a/"), summary("remote-1", [], failed=1, state="failed"))
        assert (crawls.end("a")["status"], crawls.end("a")["failReason"]) == (
            "failed",
            "the remote says that the crawl has failed",
        )

    def test_a_crawl_that_somebody_cancelled_at_the_remote_is_cancelled(self, crawls):
        crawls.create("a")
        crawls.receive("a", page("remote-1", f"{SITE}a/"), summary("remote-1", [f"{SITE}a/"], state="cancelled"))
        assert (crawls.end("a")["status"], crawls.end("a")["received"]) == ("cancelled", 1)

    @pytest.mark.parametrize("interval", ["", "daily"])
    def test_a_page_that_comes_while_the_end_is_written_is_counted_in_it(self, crawls, interval):
        crawls.create("a", interval=interval)
        crawls.receive("a", *events("remote-1", f"{SITE}a/", 5)[3:])
        crawls.clock.now += GRACE + 1
        store = crawls.store

        class Comes:
            """A page comes between the reading of the record and its end."""

            def __init__(self):
                self.left = 1

            def __getattr__(self, name):
                return getattr(store, name)

            def apply(self, *given):
                if self.left:
                    self.left -= 1
                    crawls.receive("a", page("remote-1", f"{SITE}a/late", 1))
                return store.apply(*given)

        replace(crawls.runner, store=Comes()).run(POLL, "default")
        (end,) = crawls.ends("a")
        assert end["received"] == len(crawls.pages("a")) == 3
        assert end["missing"] == 2

    def test_whoever_comes_with_an_end_after_his_lease_is_too_late(self, crawls):
        crawls.create("a")
        crawls.clock.now += WEEK
        store, others = crawls.store, []

        class Sleeps:
            """The lease ends before the end is written, and somebody else claims."""

            def __getattr__(self, name):
                return getattr(store, name)

            def apply(self, *given):
                if not others:
                    crawls.clock.now += LEASE + 1
                    others.append(crawls.claim(POLL))
                return store.apply(*given)

        report = replace(crawls.runner, store=Sleeps()).run(POLL, "default")
        assert (report.late, others[0].id) == (1, "a")
        assert crawls.ends("a") == []
