"""Events of crawls, against a real ledger: told at least once, given up in the end, and the summary after them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from redis import Redis

from service.crawls import documents as crawl_documents
from service.crawls.frontier import Ending, Frontier, FrontierPage
from service.crawls.order import CrawlOrder
from service.crawls.outbox import SUMMARY, Delivered, Outbox, OutboxEvent
from service.crawls.store import SPACE, ServiceCrawls
from service.faults import crawl_faults
from service.jobs.submission import RunRequest
from tests.builders import Clock

START = "http://site.test/"
RESPONSE = '{"body":"b","statusCode":200}'


class Parts:
    """A crawl of some pages with a callback, on a clock to set."""

    def __init__(self, redis: Redis, **changes: object) -> None:
        self.clock = Clock()
        self.register = ServiceCrawls(redis, retention=3600, clock=self.clock)
        self.frontier = Frontier(self.register, per_host=50, share=50, lease=60, patience=60)
        self.tidings = Outbox(self.register, per_crawl=16, share=8, lease=60)
        given: dict[str, object] = {
            "max_depth": 1,
            "budget": None,
            "include": ".*",
            "exclude": "",
            "callback": "http://hook.test/",
        }
        self.order = crawl_faults.dialled(CrawlOrder(start_url=START, page=RunRequest(START), **(given | changes)))  # type: ignore[arg-type]
        self.crawl = self.register.create(self.order)

    def ending(self, page: FrontierPage, *links: str) -> Ending:
        telling = crawl_faults.delivery_faults(self.order)
        event = crawl_documents.page_event(self.order, page, 1, 1, RESPONSE) if self.order.callback else None
        return Ending(
            crawl_documents.completed(page.url, 1),
            1,
            event,
            delay=telling.delay(page.url),
            lose=telling.lose,
            links=links,
        )

    def crawled(self, pages: int) -> None:
        [start] = self.frontier.claim(1).pages
        self.frontier.write(
            [self.frontier.settling(start, self.ending(start, *(f"{START}{number}" for number in range(1, pages))))]
        )
        self.frontier.write(
            [self.frontier.settling(page, self.ending(page)) for page in self.frontier.claim(pages).pages]
        )

    def claim(self, limit: int = 100) -> list[OutboxEvent]:
        return self.tidings.claim(limit).events

    @property
    def state(self) -> str:
        seen = self.register.look(self.crawl)
        return seen.fields["state"] if seen else "gone"


def told(*events: OutboxEvent) -> list[Delivered]:
    return [Delivered(event, None, event.tries + 1) for event in events]


def urls(events: list[OutboxEvent]) -> list[str]:
    return sorted(json.loads(event.document)["url"] for event in events)


def test_page_events_come_first_and_then_one_summary(redis: Redis) -> None:
    parts = Parts(redis)
    parts.crawled(3)
    assert parts.state == "completed"
    events = parts.claim()
    assert (len(events), parts.state) == (3, "in delivery")
    assert not parts.claim()
    parts.tidings.settle(told(*events[:2]))
    assert not parts.claim()
    parts.tidings.settle(told(events[2]))
    assert not redis.exists(f"{SPACE}:events:{parts.crawl}")
    [summary] = parts.claim()
    assert (summary.number, summary.document, parts.state) == (SUMMARY, "", "in delivery")
    parts.tidings.settle(told(summary))
    assert (parts.state, parts.claim()) == ("delivered", [])
    assert not redis.zcard(f"{SPACE}:due:deliver")


def test_an_event_says_what_the_crawl_has_cost_so_far(redis: Redis) -> None:
    parts = Parts(redis)
    parts.crawled(3)
    documents = [json.loads(event.document) for event in parts.claim()]
    assert sorted(document["currentCost"] for document in documents) == [1, 2, 3]
    first = next(document for document in documents if document["url"] == START)
    assert first == {
        "url": START,
        "jobId": parts.crawl,
        "status": "finished",
        "credits": 1,
        "attempts": 1,
        "startUrl": START,
        "currentCost": 1,
        "currentDepth": 0,
        "response": json.loads(RESPONSE),
    }


def test_a_refused_event_is_tried_again_and_the_summary_waits_for_it(redis: Redis) -> None:
    parts = Parts(redis)
    parts.crawled(1)
    [event] = parts.claim()
    parts.tidings.settle([Delivered(event, parts.clock.now + 3, 1)])
    assert not parts.claim()
    parts.clock.now += 3
    [again] = parts.claim()
    assert (again.number, again.document, again.tries) == (event.number, event.document, 1)
    parts.tidings.settle(told(again))
    assert [event.number for event in parts.claim()] == [SUMMARY]


def test_a_lease_that_ends_gives_its_event_back(redis: Redis) -> None:
    parts = Parts(redis)
    parts.crawled(1)
    [event] = parts.claim()
    parts.clock.now += 60
    [again] = parts.claim()
    assert replace(again, ends=event.ends) == event
    parts.tidings.settle(told(event))  # too late: it is another's now
    parts.tidings.settle([Delivered(event, parts.clock.now, 1)])
    assert not parts.claim()
    parts.tidings.settle(told(again))
    [summary] = parts.claim()
    parts.tidings.settle(told(summary))
    assert (summary.number, parts.state) == (SUMMARY, "delivered")


def test_a_round_takes_only_its_share_of_one_crawl(redis: Redis) -> None:
    parts = Parts(redis)
    parts.crawled(30)
    first = parts.tidings.exchange((), 100, "", {})
    assert (len(first.events), first.more) == (8, True)
    assert not parts.tidings.exchange((), 100, "", {parts.crawl: 8}).events
    parts.clock.now += 0.001
    assert len(parts.tidings.exchange(told(*first.events[:3]), 100, "", {parts.crawl: 5}).events) == 3


def several(redis: Redis, crawls: int, pages: int) -> Parts:
    """So many crawls, each of so many pages, all of which are to be told."""
    parts = Parts(redis)
    for _ in range(crawls - 1):
        parts.register.create(parts.order)
    starts = parts.frontier.claim(crawls).pages
    links = [f"{START}{number}" for number in range(1, pages)]
    parts.frontier.write([parts.frontier.settling(page, parts.ending(page, *links)) for page in starts])
    while rest := parts.frontier.claim(1000).pages:
        parts.frontier.write([parts.frontier.settling(page, parts.ending(page)) for page in rest])
        parts.clock.now += 1
    return parts


def test_all_rounds_together_take_no_more_of_one_crawl_than_they_may(redis: Redis) -> None:
    parts = several(redis, 1, 40)
    first, second, third = (parts.tidings.claim(50, f"t#{number}").events for number in range(3))
    assert (len(first), len(second), len(third)) == (8, 8, 0)
    parts.tidings.settle([*told(first[0]), Delivered(first[1], parts.clock.now + 3, 1)])
    assert len(parts.tidings.claim(50, "t#3").events) == 2
    parts.clock.now += 60  # the leases have ended
    assert len(parts.tidings.claim(50, "t#4").events) == 8


def test_a_crawl_whose_receiver_is_fast_is_told_beside_seven_that_hang(redis: Redis) -> None:
    for place in (0, 7):  # whether its id comes first or last
        redis.flushdb()
        parts = several(redis, 8, 20)
        held = parts.tidings.claim(50, "t#1").events
        fast = sorted({event.crawl for event in held})[place]
        count = 0
        for _ in range(40):
            done = [event for event in held if event.crawl == fast]
            count += len(done)
            held = [event for event in held if event.crawl != fast]
            parts.clock.now += 0.1
            under_way = Counter(event.crawl for event in held)
            held += parts.tidings.exchange(told(*done), 50 - len(held), "t#1", under_way).events
        assert count == 20 + 1


def test_who_was_not_served_comes_first_the_next_time(redis: Redis) -> None:
    parts = several(redis, 6, 5)
    parts.clock.now += 1
    served: list[str] = []
    for number in range(3):
        served += [event.crawl for event in parts.tidings.claim(2, f"t#{number}").events]
        parts.clock.now += 0.1
    assert len(set(served)) == 6


def test_a_round_that_comes_late_does_not_touch_the_next_run(redis: Redis) -> None:
    parts = Parts(redis, interval="hourly", max_depth=0)
    parts.crawled(1)
    [stale] = parts.claim()
    parts.clock.now += 61
    [again] = parts.claim()
    parts.tidings.settle(told(again))
    [late_summary] = parts.claim()
    parts.clock.now += 61
    parts.tidings.settle(told(*parts.claim()))
    assert parts.state == "delivered"
    parts.clock.now += 3600
    assert parts.register.begin_due_runs() == 1
    parts.crawled(1)
    parts.tidings.settle(told(stale))
    [event] = parts.claim()
    assert (json.loads(event.document)["run"], event.number) == (2, "2")
    parts.tidings.settle(told(event))
    [summary] = parts.claim()
    parts.tidings.settle(told(late_summary))
    assert parts.state == "in delivery"
    parts.tidings.settle(told(summary))
    assert parts.state == "delivered"


def test_no_page_is_taken_while_too_much_is_untold_and_taken_again_when_it_is_told_or_given_up(redis: Redis) -> None:
    parts = Parts(redis)
    [start] = parts.frontier.claim(1).pages
    big = replace(parts.ending(start, f"{START}1"), event=f'"x":"{"y" * (64 * 1024 * 1024)}"}}')
    parts.frontier.write([parts.frontier.settling(start, big)])
    parts.clock.now += 1
    assert not parts.frontier.claim(10).pages
    [event] = parts.claim()
    parts.tidings.settle([Delivered(event, parts.clock.now, 1)])
    parts.clock.now += 1
    assert not parts.frontier.claim(10).pages
    parts.tidings.settle(told(*parts.claim()))
    parts.clock.now += 1
    [page] = parts.frontier.claim(10).pages
    parts.frontier.write([parts.frontier.settling(page, parts.ending(page))])
    parts.tidings.settle(told(*parts.claim()))
    assert redis.hget(f"{SPACE}:record:{parts.crawl}", "undelivered") == "0"


def test_no_more_is_claimed_than_a_worker_can_hold(redis: Redis) -> None:
    parts = Parts(redis)
    parts.crawled(5)
    for number in range(1, 6):
        redis.hset(f"{SPACE}:events:{parts.crawl}", str(number), "x" * 5_000_000)
    assert len(parts.claim()) == 2


def test_without_a_callback_it_is_delivered_at_once(redis: Redis) -> None:
    parts = Parts(redis, callback=None)
    parts.crawled(2)
    assert (parts.state, parts.claim()) == ("delivered", [])


def test_a_cancelled_crawl_still_tells_what_had_happened(redis: Redis) -> None:
    parts = Parts(redis)
    [start] = parts.frontier.claim(1).pages
    parts.frontier.write([parts.frontier.settling(start, parts.ending(start, f"{START}1"))])
    parts.register.cancel(parts.crawl)
    assert parts.state == "cancelled"
    events = parts.claim()
    assert urls(events) == [START]
    parts.tidings.settle(told(*events))
    [summary] = parts.claim()
    document = written_summary(parts)
    assert (document["jobState"], document["cancelled"], document["jobCost"]) == (
        "cancelled",
        [{"url": f"{START}1"}],
        1,
    )
    parts.tidings.settle(told(summary))
    assert parts.state == "delivered"


def written_summary(parts: Parts) -> dict[str, object]:
    seen = parts.register.look(parts.crawl)
    assert seen is not None
    return dict(
        json.loads(crawl_documents.summary(parts.order, parts.crawl, seen.fields, parts.register.lists(parts.crawl)))
    )


def test_the_summary_is_the_contracts(redis: Redis) -> None:
    parts = Parts(redis, budget=7, additional={"mine": [1]})
    parts.crawled(2)
    assert written_summary(parts) == {
        "jobId": parts.crawl,
        "jobState": "finished",
        "jobCost": 2,
        "crawlBudget": 7,
        "additional_data": {"mine": [1]},
        "completed": [{"url": START, "cost": 1}, {"url": f"{START}1", "cost": 1}],
        "failed": [],
        "cancelled": [],
    }


def test_lost_events_are_every_so_many_th(redis: Redis) -> None:
    parts = Parts(redis, additional={"x-longhaul-fault": "lose-3"})
    parts.crawled(8)
    assert len(parts.claim()) == 8 - 2


def test_late_events_are_due_later(redis: Redis) -> None:
    parts = Parts(redis, additional={"x-longhaul-fault": "late-5"})
    parts.crawled(2)
    assert not parts.claim()
    parts.clock.now += 5
    assert len(parts.claim()) == 2


def test_a_summary_can_be_lost_or_come_first(redis: Redis) -> None:
    lost = Parts(redis, additional={"x-longhaul-fault": "nosummary"})
    lost.crawled(2)
    lost.tidings.settle(told(*lost.claim()))
    assert (lost.state, lost.claim()) == ("delivered", [])
    first = Parts(redis, additional={"x-longhaul-fault": "summaryfirst"})
    first.crawled(3)
    [summary] = first.claim()
    assert summary.number == SUMMARY
    first.tidings.settle(told(summary))
    assert first.state == "in delivery"
    events = first.claim()
    assert len(events) == 3
    first.tidings.settle(told(*events))
    assert (first.state, first.claim()) == ("delivered", [])


@pytest.mark.parametrize("interval", ["once", "hourly"])
def test_a_recurring_crawl_numbers_its_runs(redis: Redis, interval: str) -> None:
    parts = Parts(redis, interval=interval)
    parts.crawled(1)
    [event] = parts.claim()
    numbered = ("run" in json.loads(event.document), "run" in written_summary(parts))
    assert numbered == ((True, True) if interval == "hourly" else (False, False))


def test_the_next_run_of_a_recurring_crawl_has_a_summary_of_its_own_at_its_own_end(redis: Redis) -> None:
    parts = Parts(redis, interval="hourly")
    parts.crawled(1)
    while events := parts.claim():
        parts.tidings.settle(told(*events))
    assert parts.state == "delivered"
    parts.clock.now += 3600
    assert parts.register.begin_due_runs() == 1
    [start] = parts.frontier.claim(1).pages
    parts.frontier.write([parts.frontier.settling(start, parts.ending(start, f"{START}1"))])
    events = parts.claim()
    parts.tidings.settle(told(*events))
    assert ([json.loads(event.document)["run"] for event in events], parts.claim(), parts.state) == ([2], [], "running")
