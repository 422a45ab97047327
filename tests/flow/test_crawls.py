"""A crawl from its order to its summary: real ledger, real HTTP, a remote that pushes when it is told."""

from dataclasses import replace

from redis.exceptions import ConnectionError as RedisConnectionError

from longhaul.crawls.crawl import CrawlStep, PageCounts
from tests.builders import default_policies
from tests.flow.crawl_world import SITE, WEEK
from tests.flow.crawler import failed_page, page, summary
from tests.wire import Reply, as_json

CREATE, POLL, CANCEL = CrawlStep


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
            name: end[name]
            for name in (
                "id",
                "status",
                "url",
                "meta",
                "done",
                "failed",
                "received",
                "missing",
                "credits",
                "crawlBudget",
            )
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
        crawls.push(
            "a",
            page("remote-1", f"{SITE}a/"),
            failed_page("remote-1", f"{SITE}b/", 1),
            summary("remote-1", [f"{SITE}a/"], failed=1),
        )
        assert crawls.store.get("a").arrived == PageCounts(pages=2, failed=1, credits=1)
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
        told = [type(applied.decision).__name__ for applied in crawls.tracked]
        assert told == ["Sent", "Polled", "Complete"]


class TestTroubleWithCreating:
    def test_a_limit_of_the_plan_fails_the_crawl_with_the_remotes_words(self, crawls):
        words = "max_depth: 5: the free plan allows 1; upgrade to a paid plan"
        crawls.crawler.before = lambda ask: (
            as_json({"status": "error", "error": words}, 403) if ask.method == "POST" else None
        )
        crawls.order("a")
        crawls.run(CREATE)
        end = crawls.end("a")
        assert (end["status"], end["failReason"]) == ("failed", f"the remote rejected the request: {words}")
        assert (end["submissions"], "remoteId" in end) == (0, False)

    def test_any_other_403_pauses_the_account_and_loses_nothing(self, crawls):
        crawls.crawler.before = lambda ask: (
            Reply(403, b"Unauthorized request, please make sure your API key is valid")
            if ask.method == "POST"
            else None
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
        crawls = fresh_crawls(policies=default_policies(deadline=WEEK, attempts=2))
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
        assert (crawls.end("a")["status"], crawls.end("a")["failReason"]) == (
            "expired",
            "not accepted by the remote within 168 hours",
        )
        assert crawls.crawler.orders == []

    def test_a_pause_without_end_does_not_keep_it_for_ever(self, crawls):
        crawls.order("a")
        crawls.store._due.pause("create:default", crawls.clock.now + 2 * WEEK, "no credits", 0)
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
        assert (
            lanes(crawls)["create:default"].reason == "the remote answers 404 to crawls: is LONGHAUL_CRAWLER_URL right?"
        )

    def test_an_account_without_a_key_waits_for_one(self, crawls):
        replace(crawls.runner, remote=replace(crawls.runner.remote, keys={})).run(CREATE, "default")
        crawls.order("a")
        replace(crawls.runner, remote=replace(crawls.runner.remote, keys={})).run(CREATE, "default")
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
        replace(crawls.runner, store=Loses()).run(CREATE, "default")
        assert crawls.store.get("a").remote_id == "remote-1"
        assert len(crawls.crawler.orders) == 1


class TestRounds:
    def test_a_batches_token_is_given_back_when_it_is_done(self, crawls):
        crawls.order("a")
        ((account, token),) = crawls.store.dispatch(CREATE)
        assert crawls.store.dispatch(CREATE) == []
        crawls.runner.run(CREATE, account, token)
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


def test_a_batch_that_is_to_stop_claims_no_further_crawl(crawls):
    crawls.order("c1", "c2")
    report = crawls.runner.run(CrawlStep.CREATE, "default", stopping=lambda: True)
    assert (report.claimed, report.more) == (1, True)
    assert crawls.books().states == {**crawls.books().states, "queued": 1, "running": 1}
