"""What polls of a crawl lead to, and how it is cancelled."""

from itertools import pairwise

import pytest

from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.pushes import EventReceipt
from tests.flow.crawl_world import GRACE, LEASE, SITE, WEEK
from tests.flow.crawler import events, page
from tests.wire import Reply, as_json

CREATE, POLL, CANCEL = CrawlStep


def lanes(world):
    return {lane.name: lane for lane in world.store.books().lanes}


class TestProgress:
    def test_it_is_polled_with_growing_pauses(self, crawls):
        crawls.create("a")
        looked = []
        crawls.crawler.before = lambda ask: looked.append(crawls.clock.now) if ask.method == "GET" else None
        for _ in range(400):
            crawls.run(POLL)
            crawls.clock.now += 5
        pauses = [later - earlier for earlier, later in pairwise(looked)]
        assert pauses[0] < 30
        assert pauses[-1] > 400
        assert len(looked) < 15
        assert crawls.store.get("a").progress.active == 3

    def test_where_the_one_address_is_not_there_the_other_is_asked(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: Reply(404, b"Cannot GET") if ask.path.endswith("/status") else None
        crawls.run(POLL)
        assert crawls.store.get("a").progress.active == 3

    @pytest.mark.parametrize(
        "answer", [Reply(500), Reply(404), Reply(200, b"<html>"), as_json({"status": "running"}), Reply(hang_up=True)]
    )
    def test_a_poll_that_fails_costs_nothing(self, crawls, answer):
        crawls.create("a")
        crawls.crawler.before = lambda ask: answer if ask.method == "GET" else None
        crawls.run(POLL)
        assert (crawls.store.get("a").attempts, crawls.books().open) == (0, 1)
        crawls.crawler.before = lambda _: None
        crawls.bring_home()
        assert crawls.end("a")["status"] == "finished"

    @pytest.mark.parametrize("state", ["delivered", None])
    def test_where_nothing_is_active_and_no_summary_comes_it_ends_after_the_grace_time(self, crawls, state):
        crawls.create("a")
        crawls.push("a", *events("remote-1", f"{SITE}a/", 3)[:2])
        told = {"done": 3, "failed": 0, "active": 0, "jobCost": 3} | ({"status": state} if state else {})
        crawls.crawler.before = lambda ask: as_json(told) if ask.method == "GET" else None
        began = crawls.clock.now
        while crawls.books().open:
            crawls.run(POLL)
            crawls.clock.now += 10
            assert crawls.clock.now < began + 2 * GRACE
        assert began + GRACE <= crawls.clock.now <= began + GRACE + 20
        end = crawls.end("a")
        assert (end["status"], end["done"], end["received"], end["missing"], end["note"]) == (
            "finished",
            3,
            2,
            1,
            "no summary came",
        )

    @pytest.mark.parametrize(
        ("told", "status", "missing"),
        [
            ({"done": 3, "failed": 0, "active": 0}, "finished", 3),
            ({"done": 0, "failed": 0, "active": 0, "status": "failed"}, "failed", 0),
            ({"done": 0, "failed": 0, "active": 0, "status": "delivered"}, "finished", 0),
        ],
    )
    def test_where_not_one_page_came_the_remotes_word_is_enough(self, crawls, told, status, missing):
        crawls.create("a")
        crawls.crawler.before = lambda ask: as_json(told) if ask.method == "GET" else None
        for _ in range(3):
            crawls.run(POLL)
            crawls.clock.now += GRACE + 1
        assert (crawls.end("a")["status"], crawls.end("a")["missing"], crawls.end("a")["received"]) == (
            status,
            missing,
            0,
        )

    def test_a_404_right_after_the_creation_is_not_believed(self, crawls):
        crawls.create("a")
        crawls.crawler.running.clear()
        crawls.run(POLL)
        assert crawls.store.get("a").idle is None
        crawls.clock.now += 90
        crawls.run(POLL)
        assert crawls.store.get("a").idle is not None

    def test_a_page_in_the_grace_time_begins_it_anew(self, crawls):
        crawls.create("a")
        told = as_json({"done": 3, "failed": 0, "active": 0})
        crawls.crawler.before = lambda ask: told if ask.method == "GET" else None
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.run(POLL)
        crawls.clock.now += GRACE - 10
        crawls.push("a", page("remote-1", f"{SITE}a/1"))
        crawls.clock.now += 20
        crawls.run(POLL)
        assert crawls.ends("a") == []

    def test_a_crawl_that_has_not_begun_is_not_over(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: (
            as_json({"done": 0, "failed": 0, "active": 0}) if ask.method == "GET" else None
        )
        crawls.clock.now += 3 * GRACE
        crawls.run(POLL)
        crawls.clock.now += 3 * GRACE
        crawls.run(POLL)
        assert crawls.ends("a") == []

    def test_in_delivery_is_not_over(self, crawls):
        crawls.create("a")
        told = as_json({"done": 3, "failed": 0, "active": 0, "status": "in delivery"})
        crawls.crawler.before = lambda ask: told if ask.method == "GET" else None
        for _ in range(5):
            crawls.run(POLL)
            crawls.clock.now += GRACE
        assert crawls.ends("a") == []

    def test_a_status_that_never_reaches_nothing_active_is_no_matter_once_the_summary_is_there(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: (
            as_json({"done": 3, "failed": 0, "active": 1}) if ask.method == "GET" else None
        )
        crawls.run(POLL)
        crawls.deliver()
        assert crawls.end("a")["missing"] == 0

    def test_after_seven_days_it_ends_with_what_is_known(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: (
            as_json({"done": 51, "failed": 1, "active": 1}) if ask.method == "GET" else None
        )
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.run(POLL)
        crawls.clock.now += WEEK
        crawls.run(POLL)
        end = crawls.end("a")
        assert (end["status"], end["failReason"]) == ("expired", "not ended within 7 days")
        assert (end["done"], end["failed"], end["received"], end["missing"]) == (51, 1, 1, 51)

    def test_a_crawl_that_the_remote_does_not_know_any_more_ends_after_the_grace_time(self, crawls):
        crawls.create("a")
        crawls.crawler.running.clear()
        crawls.clock.now += 100
        crawls.run(POLL)
        crawls.clock.now += GRACE + 700
        crawls.run(POLL)
        assert crawls.end("a")["note"] == "the remote does not know the crawl any more"


class TestCancelling:
    def test_a_running_crawl_is_deleted_at_the_remote_and_ends_with_what_had_come(self, crawls):
        crawls.create("a")
        crawls.run(POLL)
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        assert crawls.store.cancel("a") == ("marked", "default")
        crawls.run(CANCEL)
        assert crawls.crawler.asked["DELETE"] == 1
        end = crawls.end("a")
        assert (end["status"], end["received"], end["credits"]) == ("cancelled", 1, 1)
        assert "missing" not in end

    def test_pages_that_come_later_are_counted_and_dropped(self, crawls):
        crawls.create("a")
        crawls.store.cancel("a")
        crawls.run(CANCEL)
        assert (
            crawls.push("a", page("remote-1", f"{SITE}a/0"), page("remote-1", f"{SITE}a/1"))
            == [EventReceipt.DROPPED] * 2
        )
        assert crawls.pages("a") == []
        assert crawls.store.get("a").dropped == 2

    def test_a_summary_that_comes_meanwhile_does_not_hold_it_up(self, crawls):
        crawls.create("a")
        crawls.store.cancel("a")
        crawls.push("a", events("remote-1", f"{SITE}a/", 3)[-1])
        assert crawls.books().faults == []
        crawls.run(CANCEL)
        assert crawls.end("a")["status"] == "cancelled"

    def test_it_is_tried_until_the_remote_agrees(self, crawls):
        crawls.create("a")
        crawls.store.cancel("a")
        for answer in (Reply(503), Reply(hang_up=True), Reply(429)):
            crawls.crawler.before = lambda ask, answer=answer: answer if ask.method == "DELETE" else None
            crawls.run(CANCEL)
            assert crawls.ends("a") == []
            crawls.clock.now += 700
        crawls.crawler.before = lambda _: None
        crawls.run(CANCEL)
        assert crawls.end("a")["status"] == "cancelled"

    def test_a_crawl_that_the_remote_does_not_know_is_cancelled(self, crawls):
        crawls.create("a")
        crawls.crawler.running.clear()
        crawls.store.cancel("a")
        crawls.run(CANCEL)
        assert crawls.end("a")["status"] == "cancelled"

    def test_one_that_was_never_created_is_not_created_any_more(self, crawls):
        crawls.order("a")
        crawls.store.cancel("a")
        crawls.run(CREATE, CANCEL)
        assert (crawls.end("a")["status"], crawls.end("a")["submissions"]) == ("cancelled", 0)
        assert crawls.crawler.orders == []

    def test_one_whose_creation_is_under_way_is_deleted_when_it_is_there(self, crawls):
        crawls.order("a")
        crawls.crawler.before = lambda ask: crawls.store.cancel("a") and None if ask.method == "POST" else None
        crawls.run(CREATE)
        assert list(crawls.crawler.running) == ["remote-1"]
        crawls.run(CANCEL)
        assert crawls.crawler.running == {}
        assert crawls.end("a")["status"] == "cancelled"

    def test_one_whose_creator_died_is_deleted_when_its_first_page_comes(self, crawls):
        crawls.order("a")
        claimed = crawls.claim(CREATE)
        crawls.runner.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.store.cancel("a")
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.run(CANCEL)
        assert crawls.crawler.running == {}
        assert (crawls.end("a")["status"], crawls.end("a")["received"]) == ("cancelled", 1)

    def test_one_that_its_first_page_made_known_can_be_cancelled_at_once(self, crawls):
        crawls.order("a")
        claimed = crawls.claim(CREATE)
        crawls.runner.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.store.cancel("a")
        crawls.run(CANCEL)
        assert crawls.end("a")["status"] == "cancelled"

    def test_one_that_was_cancelled_before_anybody_knew_of_its_remote_is_told_to_stop_by_its_first_page(self, crawls):
        crawls.order("a")
        claimed = crawls.claim(CREATE)
        crawls.store.cancel("a")
        crawls.runner.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.clock.now += LEASE + 1
        crawls.run(CREATE, CANCEL)
        assert crawls.end("a")["status"] == "cancelled"
        assert crawls.push("a", page("remote-1", f"{SITE}a/0")) == [EventReceipt.FOREIGN]
        assert crawls.crawler.running == {}

    def test_an_ended_crawl_stays_as_it_is(self, crawls):
        crawls.create("a")
        crawls.bring_home()
        assert crawls.store.cancel("a") == ("finished", "default")
        assert crawls.store.cancel("nobody") == ("missing", "")

    def test_a_recurring_crawl_runs_until_it_is_cancelled(self, crawls):
        crawls.create("a", interval="hourly")
        crawls.store.cancel("a")
        crawls.run(CANCEL)
        assert (crawls.end("a")["status"], crawls.end("a")["id"], crawls.end("a")["run"]) == ("cancelled", "a.1", 1)
