"""Create, watch, stop and take in, end to end: real ledger, real HTTP, a remote that pushes when it is told."""

from dataclasses import replace
from itertools import pairwise

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from crawls.crawl import Arrived, CrawlStep
from crawls.decide import Looked, Turn
from crawls.flow import Received
from jobs.job import State
from jobs.policies import Policies
from scraperapi.crawl_models import Progress
from scraperapi.crawl_protocol import read_event
from tests.flow.crawl_world import GRACE, LEASE, SITE, WEEK
from tests.flow.crawler import events, failed_page, page, summary
from tests.wire import Reply, as_json

CREATE, WATCH, STOP = CrawlStep


def lanes(world):
    return {lane.name: lane for lane in world.store.books().lanes}


class TestTheWholeWay:
    def test_a_crawl_goes_from_its_order_to_its_summary(self, crawls):
        crawls.order("a", meta={"n": 1}, crawl_budget=50, exclude="/private/", api_params={"device_type": "mobile"})
        crawls.run(CREATE)
        assert crawls.crawler.orders == [
            {
                "api_key": "key",
                "start_url": f"{SITE}a/",
                "url_regexp_include": ".*",
                "url_regexp_exclude": "/private/",
                "max_depth": 1,
                "crawl_budget": 50,
                "api_params": {"device_type": "mobile"},
                "callback": {"type": "webhook", "url": "http://receiver.test/a"},
            }
        ]
        crawls.bring_home()
        first = crawls.pages("a")[0]
        assert first == {
            "id": first["id"],
            "kind": "page",
            "crawlId": "a",
            "status": "finished",
            "url": f"{SITE}a/0",
            "depth": 0,
            "meta": {"n": 1},
            "statusCode": 200,
            "headers": {"sa-statuscode": "200"},
            "body": f"body of {SITE}a/0",
            "credits": 1,
            "attempts": 1,
            "remoteId": "remote-1",
        }
        end = crawls.end("a")
        assert {
            name: end[name] for name in ("id", "status", "url", "meta", "done", "failed", "received", "missing", "credits", "crawlBudget")
        } == {
            "id": "a",
            "status": "finished",
            "url": f"{SITE}a/",
            "meta": {"n": 1},
            "done": 3,
            "failed": 0,
            "received": 3,
            "missing": 0,
            "credits": 3,
            "crawlBudget": 50,
        }
        assert (end["submissions"], end["attempts"], end["remoteId"]) == (1, 0, "remote-1")
        assert crawls.redis.get("note-a") == "finished"

    def test_an_order_that_comes_twice_is_one_crawl(self, crawls):
        crawls.order("a")
        crawls.create("a")
        crawls.order("a")
        crawls.bring_home()
        assert len(crawls.crawler.orders) == 1
        crawls.order("a")
        crawls.run(CREATE)
        assert len(crawls.crawler.orders) == 1
        assert crawls.books().submitted == 1

    def test_a_page_that_could_not_be_had_is_an_envelope_with_its_reason(self, crawls):
        crawls.create("a")
        crawls.push("a", page("remote-1", f"{SITE}a/"), failed_page("remote-1", f"{SITE}b/", 1), summary("remote-1", [f"{SITE}a/"], failed=1))
        assert crawls.store.get("a").arrived == Arrived(pages=2, failed=1, credits=1)
        good, bad = crawls.pages("a")
        assert (bad["status"], bad["failReason"], bad["depth"]) == ("failed", "no such host", 1)
        assert "body" not in bad
        assert good["id"] != bad["id"]
        assert (crawls.end("a")["received"], crawls.end("a")["failed"], crawls.end("a")["missing"]) == (2, 1, 0)

    def test_a_crawl_that_is_not_enabled_ends_with_its_creation(self, crawls):
        crawls.order("a", enabled=False)
        crawls.run(CREATE)
        end = crawls.end("a")
        assert (end["status"], end["received"], end["note"]) == (
            "finished",
            0,
            "not enabled: the remote keeps the configuration and runs nothing",
        )
        assert crawls.crawler.orders[0]["enabled"] is False

    def test_what_flower_is_told(self, crawls):
        crawls.create("a")
        crawls.bring_home()
        told = [type(applied.decision).__name__ for applied in crawls.watched]
        assert told == ["Sent", "Looked", "Complete"]


class TestEvents:
    def test_pages_told_twice_late_and_after_the_summary_are_each_one_envelope(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 4)
        crawls.push("a", last, pages[2], pages[2], pages[0], last)
        assert crawls.ends("a") == []
        crawls.push("a", pages[3], pages[0], pages[1])
        assert crawls.end("a")["missing"] == 0
        assert crawls.push("a", *pages, last) == [Received.TAKEN] * 5
        assert len(crawls.pages("a")) == 4
        assert len(crawls.ends("a")) == 1

    def test_one_address_at_two_depths_is_two_pages(self, crawls):
        crawls.create("a")
        crawls.push("a", page("remote-1", SITE, 0), page("remote-1", SITE, 1), page("remote-1", SITE, 1))
        assert [one["depth"] for one in crawls.pages("a")] == [0, 1]

    def test_failed_pages_are_waited_for_as_well(self, crawls):
        crawls.create("a")
        crawls.push("a", page("remote-1", f"{SITE}a/"), summary("remote-1", [f"{SITE}a/"], failed=1))
        crawls.clock.now += GRACE - 1
        crawls.run(WATCH)
        assert crawls.ends("a") == []
        crawls.push("a", failed_page("remote-1", f"{SITE}b/"))
        assert crawls.end("a")["missing"] == 0

    def test_a_page_that_never_comes_is_waited_for_and_then_said(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 3)
        crawls.push("a", *pages[:2], last)
        crawls.clock.now += GRACE - 20
        crawls.run(WATCH)
        assert crawls.ends("a") == []
        crawls.clock.now += 30
        crawls.run(WATCH)
        end = crawls.end("a")
        assert (end["status"], end["done"], end["received"], end["missing"]) == ("finished", 3, 2, 1)
        # What it has cost is the remote's word: the page that never came was charged, too.
        assert end["credits"] == 3
        # Nobody asks the remote how far it is once it has told the end.
        assert crawls.crawler.asked["GET"] == 0

    def test_a_summary_that_is_told_once_more_does_not_begin_the_waiting_anew(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 3)
        crawls.push("a", pages[0], last)
        crawls.clock.now += GRACE - 10
        crawls.push("a", last)
        crawls.clock.now += 20
        crawls.run(WATCH)
        assert crawls.end("a")["missing"] == 2

    def test_a_summary_that_comes_after_the_end_changes_nothing(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 1)
        crawls.crawler.running.clear()
        crawls.push("a", *pages)
        for _ in range(3):
            crawls.clock.now += GRACE + 700
            crawls.run(WATCH)
        assert crawls.end("a")["note"] == "the remote does not know the crawl any more"
        assert crawls.push("a", last) == [Received.TAKEN]
        assert crawls.store.get("a").summary is None
        assert len(crawls.ends("a")) == 1
        assert crawls.books().faults == []

    def test_whoever_looks_when_the_summary_comes_is_too_late(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 2)
        now, claimed, _, _ = crawls.store.claim(WATCH, "default")
        crawls.push("a", pages[0], last)
        looked = Looked(now + 3600, Progress(0, 0, 2), None)
        assert crawls.store.apply(WATCH, claimed, looked, now).written == "stale"
        # And a cancellation need not wait for him either.
        crawls.store.cancel("a")
        crawls.run(STOP)
        assert crawls.end("a")["status"] == "cancelled"

    def test_a_page_that_comes_after_the_end_is_an_envelope_too_and_the_end_stands(self, crawls):
        crawls.create("a")
        *pages, last = events("remote-1", f"{SITE}a/", 2)
        crawls.push("a", pages[0], last)
        crawls.clock.now += GRACE + 1
        crawls.run(WATCH)
        # What remembers the pages goes when the record does, before the late page and after it.
        record, seen = (crawls.redis.ttl(f"longhaul:{{crawls}}:{kind}:a") for kind in ("record", "seen"))
        assert 0 < seen <= record + 1
        assert crawls.push("a", pages[1], pages[1], pages[0]) == [Received.TAKEN] * 3
        assert [one["url"] for one in crawls.pages("a")] == [f"{SITE}a/0", f"{SITE}a/1"]
        assert crawls.end("a")["received"] == 1
        assert crawls.store.get("a").arrived.pages == 1
        record, seen = (crawls.redis.ttl(f"longhaul:{{crawls}}:{kind}:a") for kind in ("record", "seen"))
        assert 0 < seen <= record + 1

    def test_what_remembers_the_first_page_after_the_end_goes_with_the_record_too(self, crawls):
        crawls.create("a")
        pages = events("remote-1", f"{SITE}a/", 1)
        crawls.push("a", pages[-1])
        crawls.clock.now += GRACE + 1
        crawls.run(WATCH)
        assert crawls.end("a")["received"] == 0
        crawls.push("a", *pages)
        assert 0 < crawls.redis.ttl("longhaul:{crawls}:seen:a") <= crawls.redis.ttl("longhaul:{crawls}:record:a") + 1

    def test_an_event_whose_remote_is_not_on_record_yet_makes_it_known(self, crawls):
        """The creator died between the remote's answer and its record; the remote crawls, and says so."""
        crawls.order("a")
        _, claimed, _, _ = crawls.store.claim(CREATE, "default")
        crawls.flow.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawl = crawls.store.get("a")
        assert (crawl.state, crawl.remote_id, crawl.arrived.pages) == (State.RUNNING, "remote-1", 1)
        crawls.clock.now += LEASE + 1
        crawls.bring_home()
        assert len(crawls.crawler.orders) == 1
        assert crawls.end("a")["missing"] == 0

    def test_what_a_fenced_off_creator_brings_home_changes_nothing(self, crawls):
        crawls.order("a")
        _, claimed, _, _ = crawls.store.claim(CREATE, "default")
        crawls.push("a", page("remote-7", f"{SITE}a/0"))
        seen = crawls.flow.remote.create(claimed, WEEK, crawls.clock.now)
        decision = crawls.flow.decider.after_create(claimed, seen, crawls.clock.now)
        assert crawls.store.apply(CREATE, claimed, decision, crawls.clock.now).written == "stale"
        assert crawls.store.get("a").remote_id == "remote-7"

    def test_a_crawl_that_nobody_ordered_is_told_to_stop(self, crawls):
        crawls.create("a")
        crawls.crawler.post({"start_url": SITE})
        assert crawls.push("a", page("remote-2", SITE)) == [Received.FOREIGN]
        assert crawls.pages("a") == []
        assert crawls.crawler.asked["DELETE"] == 1
        assert "remote-2" not in crawls.crawler.running

    def test_an_event_of_no_crawl_at_all_is_known_as_such(self, crawls):
        assert crawls.push("nobody", page("remote-1", SITE)) == [Received.UNKNOWN]

    @pytest.mark.parametrize("last", ["page", "summary"])
    def test_where_the_receiver_dies_after_the_last_event_the_next_look_ends_it_at_once(self, crawls, last):
        crawls.create("a")
        *pages, told = events("remote-1", f"{SITE}a/", 2)
        crawls.run(WATCH)
        order = [*pages, told] if last == "summary" else [pages[0], told, pages[1]]
        crawls.push("a", *order[:-1])
        call = crawls.flow.taking(crawls.store.get("a"), read_event(order[-1]))
        assert crawls.store.record([call]) == ["complete"]
        crawls.run(WATCH)
        assert (crawls.end("a")["received"], crawls.end("a")["missing"]) == (2, 0)

    def test_a_crawl_that_the_remote_says_has_failed_has_failed(self, crawls):
        crawls.create("a")
        crawls.push("a", failed_page("remote-1", f"{SITE}a/"), summary("remote-1", [], failed=1, state="failed"))
        assert (crawls.end("a")["status"], crawls.end("a")["failReason"]) == ("failed", "the remote says that the crawl has failed")

    def test_a_crawl_that_somebody_cancelled_at_the_remote_is_cancelled(self, crawls):
        crawls.create("a")
        crawls.push("a", page("remote-1", f"{SITE}a/"), summary("remote-1", [f"{SITE}a/"], state="cancelled"))
        assert (crawls.end("a")["status"], crawls.end("a")["received"]) == ("cancelled", 1)

    @pytest.mark.parametrize("interval", ["", "daily"])
    def test_a_page_that_comes_while_the_end_is_written_is_counted_in_it(self, crawls, interval):
        crawls.create("a", interval=interval)
        crawls.push("a", *events("remote-1", f"{SITE}a/", 5)[3:])
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
                    crawls.push("a", page("remote-1", f"{SITE}a/late", 1))
                return store.apply(*given)

        replace(crawls.flow, store=Comes()).run_round(WATCH, "default")
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
                    others.append(store.claim(WATCH, "default")[1])
                return store.apply(*given)

        report = replace(crawls.flow, store=Sleeps()).run_round(WATCH, "default")
        assert (report.late, others[0].id) == (1, "a")
        assert crawls.ends("a") == []


class TestProgress:
    def test_it_is_looked_at_with_growing_pauses(self, crawls):
        crawls.create("a")
        looked = []
        crawls.crawler.before = lambda ask: looked.append(crawls.clock.now) if ask.method == "GET" else None
        for _ in range(400):
            crawls.run(WATCH)
            crawls.clock.now += 5
        pauses = [later - earlier for earlier, later in pairwise(looked)]
        assert pauses[0] < 30
        assert pauses[-1] > 400
        assert len(looked) < 15
        assert crawls.store.get("a").progress.active == 3

    def test_where_the_one_address_is_not_there_the_other_is_asked(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: Reply(404, b"Cannot GET") if ask.path.endswith("/status") else None
        crawls.run(WATCH)
        assert crawls.store.get("a").progress.active == 3

    @pytest.mark.parametrize("answer", [Reply(500), Reply(404), Reply(200, b"<html>"), as_json({"status": "running"}), Reply(hang_up=True)])
    def test_a_look_that_fails_costs_nothing(self, crawls, answer):
        crawls.create("a")
        crawls.crawler.before = lambda ask: answer if ask.method == "GET" else None
        crawls.run(WATCH)
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
            crawls.run(WATCH)
            crawls.clock.now += 10
            assert crawls.clock.now < began + 2 * GRACE
        assert began + GRACE <= crawls.clock.now <= began + GRACE + 20
        end = crawls.end("a")
        assert (end["status"], end["done"], end["received"], end["missing"], end["note"]) == ("finished", 3, 2, 1, "no summary came")

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
            crawls.run(WATCH)
            crawls.clock.now += GRACE + 1
        assert (crawls.end("a")["status"], crawls.end("a")["missing"], crawls.end("a")["received"]) == (status, missing, 0)

    def test_a_404_right_after_the_creation_is_not_believed(self, crawls):
        crawls.create("a")
        crawls.crawler.running.clear()
        crawls.run(WATCH)
        assert crawls.store.get("a").idle is None
        crawls.clock.now += 90
        crawls.run(WATCH)
        assert crawls.store.get("a").idle is not None

    def test_a_page_in_the_grace_time_begins_it_anew(self, crawls):
        crawls.create("a")
        told = as_json({"done": 3, "failed": 0, "active": 0})
        crawls.crawler.before = lambda ask: told if ask.method == "GET" else None
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.run(WATCH)
        crawls.clock.now += GRACE - 10
        crawls.push("a", page("remote-1", f"{SITE}a/1"))
        crawls.clock.now += 20
        crawls.run(WATCH)
        assert crawls.ends("a") == []

    def test_a_crawl_that_has_not_begun_is_not_over(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: as_json({"done": 0, "failed": 0, "active": 0}) if ask.method == "GET" else None
        crawls.clock.now += 3 * GRACE
        crawls.run(WATCH)
        crawls.clock.now += 3 * GRACE
        crawls.run(WATCH)
        assert crawls.ends("a") == []

    def test_in_delivery_is_not_over(self, crawls):
        crawls.create("a")
        told = as_json({"done": 3, "failed": 0, "active": 0, "status": "in delivery"})
        crawls.crawler.before = lambda ask: told if ask.method == "GET" else None
        for _ in range(5):
            crawls.run(WATCH)
            crawls.clock.now += GRACE
        assert crawls.ends("a") == []

    def test_a_status_that_never_reaches_nothing_active_is_no_matter_once_the_summary_is_there(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: as_json({"done": 3, "failed": 0, "active": 1}) if ask.method == "GET" else None
        crawls.run(WATCH)
        crawls.deliver()
        assert crawls.end("a")["missing"] == 0

    def test_after_seven_days_it_ends_with_what_is_known(self, crawls):
        crawls.create("a")
        crawls.crawler.before = lambda ask: as_json({"done": 51, "failed": 1, "active": 1}) if ask.method == "GET" else None
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.run(WATCH)
        crawls.clock.now += WEEK
        crawls.run(WATCH)
        end = crawls.end("a")
        assert (end["status"], end["failReason"]) == ("expired", "not ended within 7 days")
        assert (end["done"], end["failed"], end["received"], end["missing"]) == (51, 1, 1, 51)

    def test_a_crawl_that_the_remote_does_not_know_any_more_ends_after_the_grace_time(self, crawls):
        crawls.create("a")
        crawls.crawler.running.clear()
        crawls.clock.now += 100
        crawls.run(WATCH)
        crawls.clock.now += GRACE + 700
        crawls.run(WATCH)
        assert crawls.end("a")["note"] == "the remote does not know the crawl any more"


class TestTroubleWithCreating:
    def test_a_limit_of_the_plan_fails_the_crawl_with_the_remotes_words(self, crawls):
        words = "max_depth: 5: the free plan allows 1; upgrade to a paid plan"
        crawls.crawler.before = lambda ask: as_json({"status": "error", "error": words}, 403) if ask.method == "POST" else None
        crawls.order("a")
        crawls.run(CREATE)
        end = crawls.end("a")
        assert (end["status"], end["failReason"]) == ("failed", f"the remote rejected the request: {words}")
        assert (end["submissions"], "remoteId" in end) == (0, False)

    def test_any_other_403_pauses_the_account_and_loses_nothing(self, crawls):
        crawls.crawler.before = lambda ask: (
            Reply(403, b"Unauthorized request, please make sure your API key is valid") if ask.method == "POST" else None
        )
        crawls.order("a", "b")
        crawls.run(CREATE)
        assert crawls.crawler.asked["POST"] == 1
        assert "HTTP 403" in lanes(crawls)["create:default"].reason
        crawls.crawler.before = lambda _: None
        crawls.clock.now += 31
        # The first that goes through ends the pause, and the other need not wait.
        crawls.run(CREATE)
        assert crawls.crawler.asked["POST"] == 3
        crawls.bring_home()
        assert [crawls.end(id_)["attempts"] for id_ in ("a", "b")] == [0, 0]

    def test_a_remote_that_is_away_is_waited_for(self, crawls):
        crawls.crawler.before = lambda _: Reply(503)
        crawls.order("a")
        crawls.run(CREATE)
        crawls.crawler.before = lambda _: None
        crawls.clock.now += 61
        crawls.bring_home()
        assert (crawls.end("a")["attempts"], crawls.end("a")["submissions"]) == (0, 1)

    def test_a_creation_that_breaks_off_costs_an_attempt_for_it_may_have_been_taken(self, crawls):
        crawls.crawler.before = lambda ask: Reply(hang_up=True) if ask.method == "POST" else None
        crawls.order("a")
        crawls.run(CREATE)
        crawl = crawls.store.get("a")
        assert (crawl.attempts, crawl.submissions) == (1, 1)

    def test_it_gives_up_in_the_end(self, fresh_crawls):
        crawls = fresh_crawls(policies=Policies(deadline=WEEK, attempts=2))
        crawls.crawler.before = lambda _: Reply(500, b"boom")
        crawls.order("a")
        for _ in range(3):
            crawls.run(CREATE)
            crawls.clock.now += 400
        assert crawls.end("a")["failReason"] == "gave up after 2 attempts; last: HTTP 500 from the remote: boom"

    def test_one_that_could_not_be_created_in_seven_days_expires_without_another_try(self, crawls):
        crawls.order("a")
        crawls.clock.now += WEEK
        crawls.run(CREATE)
        assert (crawls.end("a")["status"], crawls.end("a")["failReason"]) == ("expired", "not accepted by the remote within 168 hours")
        assert crawls.crawler.orders == []

    def test_a_pause_without_end_does_not_keep_it_for_ever(self, crawls):
        crawls.order("a")
        crawls.store._due.hold("create:default", crawls.clock.now + 2 * WEEK, "no credits", 0)
        crawls.clock.now += WEEK - 1
        crawls.run(CREATE)
        assert crawls.books().open == 1
        crawls.clock.now += 700
        crawls.run(CREATE)
        assert crawls.end("a")["status"] == "expired"

    def test_a_wrong_address_is_said(self, crawls):
        crawls.crawler.before = lambda _: Reply(404)
        crawls.order("a")
        crawls.run(CREATE)
        assert lanes(crawls)["create:default"].reason == "the remote answers 404 to crawls: is LONGHAUL_CRAWLER_URL right?"

    def test_an_account_without_a_key_waits_for_one(self, crawls):
        replace(crawls.flow, remote=replace(crawls.flow.remote, keys={})).run_round(CREATE, "default")
        crawls.order("a")
        replace(crawls.flow, remote=replace(crawls.flow.remote, keys={})).run_round(CREATE, "default")
        assert lanes(crawls)["create:default"].reason == "account `default` has no key here: set LONGHAUL_API_KEYS"

    def test_the_remotes_id_outlasts_a_reply_that_the_ledger_lost(self, crawls):
        store = crawls.store

        class Loses:
            def __init__(self):
                self.left = 1

            def __getattr__(self, name):
                return getattr(store, name)

            def apply(self, *given):
                answer = store.apply(*given)
                if self.left:
                    self.left -= 1
                    raise RedisConnectionError("the reply is lost")
                return answer

        crawls.order("a")
        replace(crawls.flow, store=Loses()).run_round(CREATE, "default")
        assert crawls.store.get("a").remote_id == "remote-1"
        assert len(crawls.crawler.orders) == 1


class TestCancelling:
    def test_a_running_crawl_is_deleted_at_the_remote_and_ends_with_what_had_come(self, crawls):
        crawls.create("a")
        crawls.run(WATCH)
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        assert crawls.store.cancel("a") == ("marked", "default")
        crawls.run(STOP)
        assert crawls.crawler.asked["DELETE"] == 1
        end = crawls.end("a")
        assert (end["status"], end["received"], end["credits"]) == ("cancelled", 1, 1)
        assert "missing" not in end

    def test_pages_that_come_later_are_counted_and_dropped(self, crawls):
        crawls.create("a")
        crawls.store.cancel("a")
        crawls.run(STOP)
        assert crawls.push("a", page("remote-1", f"{SITE}a/0"), page("remote-1", f"{SITE}a/1")) == [Received.DROPPED] * 2
        assert crawls.pages("a") == []
        assert crawls.store.get("a").dropped == 2

    def test_a_summary_that_comes_meanwhile_does_not_hold_it_up(self, crawls):
        crawls.create("a")
        crawls.store.cancel("a")
        crawls.push("a", events("remote-1", f"{SITE}a/", 3)[-1])
        assert crawls.books().faults == []
        crawls.run(STOP)
        assert crawls.end("a")["status"] == "cancelled"

    def test_it_is_tried_until_the_remote_agrees(self, crawls):
        crawls.create("a")
        crawls.store.cancel("a")
        for answer in (Reply(503), Reply(hang_up=True), Reply(429)):
            crawls.crawler.before = lambda ask, answer=answer: answer if ask.method == "DELETE" else None
            crawls.run(STOP)
            assert crawls.ends("a") == []
            crawls.clock.now += 700
        crawls.crawler.before = lambda _: None
        crawls.run(STOP)
        assert crawls.end("a")["status"] == "cancelled"

    def test_a_crawl_that_the_remote_does_not_know_is_cancelled(self, crawls):
        crawls.create("a")
        crawls.crawler.running.clear()
        crawls.store.cancel("a")
        crawls.run(STOP)
        assert crawls.end("a")["status"] == "cancelled"

    def test_one_that_was_never_created_is_not_created_any_more(self, crawls):
        crawls.order("a")
        crawls.store.cancel("a")
        crawls.run(CREATE, STOP)
        assert (crawls.end("a")["status"], crawls.end("a")["submissions"]) == ("cancelled", 0)
        assert crawls.crawler.orders == []

    def test_one_whose_creation_is_under_way_is_deleted_when_it_is_there(self, crawls):
        crawls.order("a")
        crawls.crawler.before = lambda ask: crawls.store.cancel("a") and None if ask.method == "POST" else None
        crawls.run(CREATE)
        assert list(crawls.crawler.running) == ["remote-1"]
        crawls.run(STOP)
        assert crawls.crawler.running == {}
        assert crawls.end("a")["status"] == "cancelled"

    def test_one_whose_creator_died_is_deleted_when_its_first_page_comes(self, crawls):
        crawls.order("a")
        _, claimed, _, _ = crawls.store.claim(CREATE, "default")
        crawls.flow.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.store.cancel("a")
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.run(STOP)
        assert crawls.crawler.running == {}
        assert (crawls.end("a")["status"], crawls.end("a")["received"]) == ("cancelled", 1)

    def test_one_that_its_first_page_made_known_can_be_cancelled_at_once(self, crawls):
        crawls.order("a")
        _, claimed, _, _ = crawls.store.claim(CREATE, "default")
        crawls.flow.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.push("a", page("remote-1", f"{SITE}a/0"))
        crawls.store.cancel("a")
        crawls.run(STOP)
        assert crawls.end("a")["status"] == "cancelled"

    def test_one_that_was_cancelled_before_anybody_knew_of_its_remote_is_told_to_stop_by_its_first_page(self, crawls):
        crawls.order("a")
        _, claimed, _, _ = crawls.store.claim(CREATE, "default")
        crawls.store.cancel("a")
        crawls.flow.remote.create(claimed, WEEK, crawls.clock.now)
        crawls.clock.now += LEASE + 1
        crawls.run(CREATE, STOP)
        assert crawls.end("a")["status"] == "cancelled"
        assert crawls.push("a", page("remote-1", f"{SITE}a/0")) == [Received.FOREIGN]
        assert crawls.crawler.running == {}

    def test_an_ended_crawl_stays_as_it_is(self, crawls):
        crawls.create("a")
        crawls.bring_home()
        assert crawls.store.cancel("a") == ("finished", "default")
        assert crawls.store.cancel("nobody") == ("missing", "")

    def test_a_recurring_crawl_runs_until_it_is_cancelled(self, crawls):
        crawls.create("a", interval="hourly")
        crawls.store.cancel("a")
        crawls.run(STOP)
        assert (crawls.end("a")["status"], crawls.end("a")["id"], crawls.end("a")["run"]) == ("cancelled", "a.1", 1)


class TestRecurring:
    def recurring(self, world):
        world.create("a", interval="daily", name="shop")
        assert world.crawler.orders[0]["schedule"] == {"name": "shop", "interval": "daily"}

    def test_every_run_has_its_number_its_pages_and_its_summary(self, crawls):
        self.recurring(crawls)
        for number in (1, 2, 3):
            crawls.push("a", *events("remote-1", f"{SITE}a/", 2, run=number))
        assert [(one["id"], one["run"], one["received"]) for one in crawls.ends("a")] == [("a.1", 1, 2), ("a.2", 2, 2), ("a.3", 3, 2)]
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2, 2, 3, 3]
        assert len({one["id"] for one in crawls.pages("a")}) == 6
        assert (crawls.books().open, crawls.books().faults) == (1, [])

    def test_where_the_remote_does_not_number_them_a_run_ends_with_its_summary(self, crawls):
        self.recurring(crawls)
        for _ in range(2):
            crawls.push("a", *events("remote-1", f"{SITE}a/", 2))
            # Told once more at once: no new run.
            crawls.push("a", *events("remote-1", f"{SITE}a/", 2))
            assert crawls.store.get("a").summary is None
            crawls.clock.now += 24 * 3600
        assert [one["run"] for one in crawls.ends("a")] == [1, 2]
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2, 2]

    def test_a_remote_that_numbers_its_runs_as_it_likes_ends_each_run_once(self, crawls):
        self.recurring(crawls)
        for number in (1, 20_261_121, 20_261_122):
            crawls.push("a", *events("remote-1", f"{SITE}a/", 2, run=number)[:2])
        crawls.push("a", events("remote-1", f"{SITE}a/", 2, run=20_261_122)[-1])
        assert [(one["run"], one["received"]) for one in crawls.ends("a")] == [(1, 2), (20_261_121, 2), (20_261_122, 2)]

    def test_a_run_soon_after_another_is_a_run_of_its_own(self, crawls):
        self.recurring(crawls)
        for _ in range(2):
            crawls.push("a", *events("remote-1", f"{SITE}a/", 2))
            crawls.clock.now += 150
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2, 2]

    def test_a_late_page_belongs_to_its_own_run(self, crawls):
        self.recurring(crawls)
        first = events("remote-1", f"{SITE}a/", 2, run=1)
        crawls.push("a", *first)
        crawls.push("a", page("remote-1", f"{SITE}a/new", 1, run=1), first[0])
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 1]
        assert crawls.store.get("a").arrived.pages == 0

    def test_a_run_without_a_summary_ends_when_the_next_begins(self, crawls):
        self.recurring(crawls)
        crawls.push("a", *events("remote-1", f"{SITE}a/", 2, run=1)[:2])
        crawls.push("a", *events("remote-1", f"{SITE}a/", 2, run=2))
        assert [(one["run"], one["received"], one.get("note")) for one in crawls.ends("a")] == [
            (1, 2, "no summary came before the next run"),
            (2, 2, None),
        ]

    def test_a_summary_that_comes_before_its_run_is_known_begins_it(self, crawls):
        self.recurring(crawls)
        *pages, last = events("remote-1", f"{SITE}a/", 2, run=2)
        crawls.push("a", page("remote-1", f"{SITE}a/", run=1), last)
        assert [(one["run"], one["received"]) for one in crawls.ends("a")] == [(1, 1)]
        crawls.push("a", *pages)
        assert [(one["run"], one["received"], one["missing"]) for one in crawls.ends("a")[1:]] == [(2, 2, 0)]

    def test_a_summary_of_a_run_that_is_over_changes_nothing(self, crawls):
        self.recurring(crawls)
        first, second = (events("remote-1", f"{SITE}a/", 2, run=run) for run in (1, 2))
        crawls.push("a", first[0], second[0], first[-1])
        assert crawls.store.get("a").summary is None
        assert [(one["run"], one["received"]) for one in crawls.ends("a")] == [(1, 1)]

    def test_whoever_looks_when_a_run_ends_is_too_late(self, crawls):
        self.recurring(crawls)
        crawls.push("a", page("remote-1", f"{SITE}a/", run=1))
        now, claimed, _, _ = crawls.store.claim(WATCH, "default")
        crawls.push("a", page("remote-1", f"{SITE}a/", run=2))
        assert crawls.store.apply(WATCH, claimed, Looked(now, Progress(1, 0, 0), now), now).written == "stale"

    def test_a_run_that_is_over_is_not_ended_again(self, crawls):
        self.recurring(crawls)
        crawls.push("a", page("remote-1", f"{SITE}a/", run=1))
        late = crawls.store.get("a")
        crawls.push("a", page("remote-1", f"{SITE}a/", run=2))
        assert crawls.store.apply(WATCH, late, Turn(crawls.clock.now), crawls.clock.now).written == "stale"
        assert len(crawls.ends("a")) == 1

    def test_a_page_without_a_number_belongs_to_the_run_that_goes_on_whatever_the_receiver_remembers(self, crawls):
        self.recurring(crawls)
        known = crawls.store.get("a")
        crawls.push("a", *events("remote-1", f"{SITE}a/", 2))
        crawls.clock.now += 24 * 3600
        assert crawls.flow.take(known, read_event(page("remote-1", f"{SITE}a/0"))) is Received.TAKEN
        assert [one["run"] for one in crawls.pages("a")] == [1, 1, 2]

    def test_a_run_that_ends_while_it_is_cancelled_leaves_it_in_one_lane(self, crawls):
        self.recurring(crawls)
        crawls.store.cancel("a")
        crawls.push("a", *events("remote-1", f"{SITE}a/", 2, run=1))
        assert crawls.books().faults == []
        crawls.run(STOP)
        assert [(one["status"], one["run"]) for one in crawls.ends("a")] == [("finished", 1), ("cancelled", 2)]

    def test_what_remembers_a_run_is_there_for_one_more_run_and_not_for_ever(self, crawls):
        self.recurring(crawls)
        crawls.push("a", *events("remote-1", f"{SITE}a/", 1, run=1))
        assert 0 < crawls.redis.ttl("longhaul:{crawls}:former:a") <= 24 * 3600
        crawls.push("a", summary("remote-1", [], run=2))
        assert crawls.redis.exists("longhaul:{crawls}:former:a") == 0

    def test_one_that_is_cancelled_at_the_remote_recurs_no_more(self, crawls):
        self.recurring(crawls)
        crawls.push("a", page("remote-1", f"{SITE}a/"), summary("remote-1", [f"{SITE}a/"], state="cancelled"))
        assert crawls.end("a")["status"] == "cancelled"

    def test_between_two_runs_nothing_ends_however_long_it_takes(self, crawls):
        self.recurring(crawls)
        crawls.crawler.before = lambda ask: (
            as_json({"done": 2, "failed": 0, "active": 0, "status": "delivered"}) if ask.method == "GET" else None
        )
        crawls.push("a", *events("remote-1", f"{SITE}a/", 2, run=1))
        for _ in range(40):
            crawls.run(WATCH)
            crawls.clock.now += 24 * 3600
        assert len(crawls.ends("a")) == 1
        assert crawls.books().open == 1
        # After months it is still looked at now and then, and not all the time.
        crawls.run(WATCH)
        crawls.clock.now += 1
        asked = crawls.crawler.asked["GET"]
        crawls.run(WATCH)
        assert asked == crawls.crawler.asked["GET"] == 40


class TestRounds:
    def test_a_rounds_token_is_given_back_when_it_is_done(self, crawls):
        crawls.order("a")
        ((account, token),) = crawls.store.dispatch(CREATE)
        assert crawls.store.dispatch(CREATE) == []
        crawls.flow.run_round(CREATE, account, token)
        assert crawls.redis.exists("longhaul:{crawls}:started:create", "longhaul:{crawls}:working:create") == 0
        crawls.order("b")
        assert [account for account, _ in crawls.store.dispatch(CREATE)] == ["default"]


class TestBooks:
    def test_they_balance_and_pages_are_counted_for_themselves(self, crawls):
        crawls.create("a", "b")
        crawls.bring_home()
        books = crawls.store.books()
        assert (books.counts["submitted"], books.counts["envelopes"], books.counts["pages"]) == (2, 2, 6)
        assert crawls.books().faults == []
        assert len(crawls.envelopes()) == 8


def test_a_round_that_is_to_stop_claims_no_further_crawl(crawls):
    crawls.order("c1", "c2")
    report = crawls.flow.run_round(CrawlStep.CREATE, "default", stopping=lambda: True)
    assert (report.claimed, report.more) == (1, True)
    assert crawls.books().states == {**crawls.books().states, "queued": 1, "running": 1}
