"""Events of crawls, against a real ledger: what they say, in which order they are due, and the summary after them."""

from __future__ import annotations

import json

import pytest
from redis import Redis

from service.crawls.outbox import SUMMARY, AttemptedDelivery
from service.crawls.store import SPACE
from tests.unit.service.crawls.crawl_parts import START_URL
from tests.unit.service.crawls.outbox_parts import RESPONSE, OutboxParts, delivered, urls, written_summary


def test_page_events_come_first_and_then_one_summary(redis: Redis) -> None:
    parts = OutboxParts(redis)
    parts.crawled(3)
    assert parts.state == "completed"
    events = parts.claim()
    assert (len(events), parts.state) == (3, "in delivery")
    assert not parts.claim()
    parts.outbox.settle(delivered(*events[:2]))
    assert not parts.claim()
    parts.outbox.settle(delivered(events[2]))
    assert not redis.exists(f"{SPACE}:events:{parts.crawl_id}")
    [summary] = parts.claim()
    assert (summary.number, summary.document, parts.state) == (SUMMARY, "", "in delivery")
    parts.outbox.settle(delivered(summary))
    assert (parts.state, parts.claim()) == ("delivered", [])
    assert not redis.zcard(f"{SPACE}:due:deliver")


def test_an_event_says_what_the_crawl_has_cost_so_far(redis: Redis) -> None:
    parts = OutboxParts(redis)
    parts.crawled(3)
    documents = [json.loads(event.document) for event in parts.claim()]
    assert sorted(document["currentCost"] for document in documents) == [1, 2, 3]
    first = next(document for document in documents if document["url"] == START_URL)
    assert first == {
        "url": START_URL,
        "jobId": parts.crawl_id,
        "status": "finished",
        "credits": 1,
        "attempts": 1,
        "startUrl": START_URL,
        "currentCost": 1,
        "currentDepth": 0,
        "response": json.loads(RESPONSE),
    }


def test_a_refused_event_is_tried_again_and_the_summary_waits_for_it(redis: Redis) -> None:
    parts = OutboxParts(redis)
    parts.crawled(1)
    [event] = parts.claim()
    parts.outbox.settle([AttemptedDelivery(event, parts.clock.now + 3, 1)])
    assert not parts.claim()
    parts.clock.now += 3
    [again] = parts.claim()
    assert (again.number, again.document, again.attempts) == (event.number, event.document, 1)
    parts.outbox.settle(delivered(again))
    assert [event.number for event in parts.claim()] == [SUMMARY]


def test_a_cancelled_crawl_still_delivers_its_events(redis: Redis) -> None:
    parts = OutboxParts(redis)
    [start] = parts.frontier.claim(1).pages
    parts.frontier.write([parts.frontier.settling(start, parts.end_of(start, f"{START_URL}1"))])
    parts.store.cancel(parts.crawl_id)
    assert parts.state == "cancelled"
    events = parts.claim()
    assert urls(events) == [START_URL]
    parts.outbox.settle(delivered(*events))
    [summary] = parts.claim()
    document = written_summary(parts)
    assert (document["jobState"], document["cancelled"], document["jobCost"]) == (
        "cancelled",
        [{"url": f"{START_URL}1"}],
        1,
    )
    parts.outbox.settle(delivered(summary))
    assert parts.state == "delivered"


def test_the_summary_is_the_contracts(redis: Redis) -> None:
    parts = OutboxParts(redis, budget=7, additional={"mine": [1]})
    parts.crawled(2)
    assert written_summary(parts) == {
        "jobId": parts.crawl_id,
        "jobState": "finished",
        "jobCost": 2,
        "crawlBudget": 7,
        "additional_data": {"mine": [1]},
        "completed": [{"url": START_URL, "cost": 1}, {"url": f"{START_URL}1", "cost": 1}],
        "failed": [],
        "cancelled": [],
    }


def test_every_nth_event_is_lost(redis: Redis) -> None:
    parts = OutboxParts(redis, additional={"x-longhaul-fault": "lose-3"})
    parts.crawled(8)
    assert len(parts.claim()) == 8 - 2


def test_late_events_are_due_later(redis: Redis) -> None:
    parts = OutboxParts(redis, additional={"x-longhaul-fault": "late-5"})
    parts.crawled(2)
    assert not parts.claim()
    parts.clock.now += 5
    assert len(parts.claim()) == 2


def test_a_summary_can_be_lost_or_come_first(redis: Redis) -> None:
    lost = OutboxParts(redis, additional={"x-longhaul-fault": "nosummary"})
    lost.crawled(2)
    lost.outbox.settle(delivered(*lost.claim()))
    assert (lost.state, lost.claim()) == ("delivered", [])
    first = OutboxParts(redis, additional={"x-longhaul-fault": "summaryfirst"})
    first.crawled(3)
    [summary] = first.claim()
    assert summary.number == SUMMARY
    first.outbox.settle(delivered(summary))
    assert first.state == "in delivery"
    events = first.claim()
    assert len(events) == 3
    first.outbox.settle(delivered(*events))
    assert (first.state, first.claim()) == ("delivered", [])


@pytest.mark.parametrize("interval", ["once", "hourly"])
def test_a_recurring_crawl_numbers_its_runs(redis: Redis, interval: str) -> None:
    parts = OutboxParts(redis, interval=interval)
    parts.crawled(1)
    [event] = parts.claim()
    numbered = ("run" in json.loads(event.document), "run" in written_summary(parts))
    assert numbered == ((True, True) if interval == "hourly" else (False, False))


def test_the_next_run_of_a_recurring_crawl_has_a_summary_of_its_own_at_its_own_end(redis: Redis) -> None:
    parts = OutboxParts(redis, interval="hourly")
    parts.crawled(1)
    while events := parts.claim():
        parts.outbox.settle(delivered(*events))
    assert parts.state == "delivered"
    parts.clock.now += 3600
    assert parts.store.begin_due_runs() == 1
    [start] = parts.frontier.claim(1).pages
    parts.frontier.write([parts.frontier.settling(start, parts.end_of(start, f"{START_URL}1"))])
    events = parts.claim()
    parts.outbox.settle(delivered(*events))
    assert ([json.loads(event.document)["run"] for event in events], parts.claim(), parts.state) == ([2], [], "running")
