"""Events of crawls, against a real ledger: who claims them, how many, and when."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from redis import Redis

from service.crawls.outbox import SUMMARY, AttemptedDelivery
from service.crawls.store import SPACE
from tests.unit.service.crawls.crawl_parts import START_URL
from tests.unit.service.crawls.outbox_parts import OutboxParts, delivered, several


def test_a_lease_that_ends_gives_its_event_back(redis: Redis) -> None:
    parts = OutboxParts(redis)
    parts.crawled(1)
    [event] = parts.claim()
    parts.clock.now += 60
    [again] = parts.claim()
    assert replace(again, lease_end=event.lease_end) == event
    parts.outbox.settle(delivered(event))  # too late: another round has claimed it
    parts.outbox.settle([AttemptedDelivery(event, parts.clock.now, 1)])
    assert not parts.claim()
    parts.outbox.settle(delivered(again))
    [summary] = parts.claim()
    parts.outbox.settle(delivered(summary))
    assert (summary.number, parts.state) == (SUMMARY, "delivered")


def test_a_round_claims_only_its_share_of_one_crawl(redis: Redis) -> None:
    parts = OutboxParts(redis)
    parts.crawled(30)
    first = parts.outbox.exchange((), 100, "", {})
    assert (len(first.events), first.more) == (8, True)
    assert not parts.outbox.exchange((), 100, "", {parts.crawl_id: 8}).events
    parts.clock.now += 0.001
    assert len(parts.outbox.exchange(delivered(*first.events[:3]), 100, "", {parts.crawl_id: 5}).events) == 3


def test_all_rounds_together_claim_no_more_of_one_crawl_than_they_may(redis: Redis) -> None:
    parts = several(redis, 1, 40)
    first, second, third = (parts.outbox.claim(50, f"t#{number}").events for number in range(3))
    assert (len(first), len(second), len(third)) == (8, 8, 0)
    parts.outbox.settle([*delivered(first[0]), AttemptedDelivery(first[1], parts.clock.now + 3, 1)])
    assert len(parts.outbox.claim(50, "t#3").events) == 2
    parts.clock.now += 60  # the leases have ended
    assert len(parts.outbox.claim(50, "t#4").events) == 8


def test_a_crawl_with_a_fast_receiver_is_delivered_beside_seven_that_hang(redis: Redis) -> None:
    for place in (0, 7):  # whether its id comes first or last
        redis.flushdb()
        parts = several(redis, 8, 20)
        held = parts.outbox.claim(50, "t#1").events
        fast = sorted({event.crawl_id for event in held})[place]
        count = 0
        for _ in range(40):
            done = [event for event in held if event.crawl_id == fast]
            count += len(done)
            held = [event for event in held if event.crawl_id != fast]
            parts.clock.now += 0.1
            under_way = Counter(event.crawl_id for event in held)
            held += parts.outbox.exchange(delivered(*done), 50 - len(held), "t#1", under_way).events
        assert count == 20 + 1


def test_a_crawl_that_was_not_served_comes_first_the_next_time(redis: Redis) -> None:
    parts = several(redis, 6, 5)
    parts.clock.now += 1
    served: list[str] = []
    for number in range(3):
        served += [event.crawl_id for event in parts.outbox.claim(2, f"t#{number}").events]
        parts.clock.now += 0.1
    assert len(set(served)) == 6


def test_a_round_that_comes_late_does_not_touch_the_next_run(redis: Redis) -> None:
    parts = OutboxParts(redis, interval="hourly", max_depth=0)
    parts.crawled(1)
    [stale] = parts.claim()
    parts.clock.now += 61
    [again] = parts.claim()
    parts.outbox.settle(delivered(again))
    [late_summary] = parts.claim()
    parts.clock.now += 61
    parts.outbox.settle(delivered(*parts.claim()))
    assert parts.state == "delivered"
    parts.clock.now += 3600
    assert parts.store.begin_due_runs() == 1
    parts.crawled(1)
    parts.outbox.settle(delivered(stale))
    [event] = parts.claim()
    assert (json.loads(event.document)["run"], event.number) == (2, "2")
    parts.outbox.settle(delivered(event))
    [summary] = parts.claim()
    parts.outbox.settle(delivered(late_summary))
    assert parts.state == "in delivery"
    parts.outbox.settle(delivered(summary))
    assert parts.state == "delivered"


def test_no_page_is_claimed_while_too_much_is_undelivered(redis: Redis) -> None:
    parts = OutboxParts(redis)
    [start] = parts.frontier.claim(1).pages
    big = replace(parts.end_of(start, f"{START_URL}1"), event=f'"x":"{"y" * (64 * 1024 * 1024)}"}}')
    parts.frontier.write([parts.frontier.settling(start, big)])
    parts.clock.now += 1
    assert not parts.frontier.claim(10).pages
    [event] = parts.claim()
    parts.outbox.settle([AttemptedDelivery(event, parts.clock.now, 1)])
    parts.clock.now += 1
    assert not parts.frontier.claim(10).pages
    parts.outbox.settle(delivered(*parts.claim()))
    parts.clock.now += 1
    [page] = parts.frontier.claim(10).pages
    parts.frontier.write([parts.frontier.settling(page, parts.end_of(page))])
    parts.outbox.settle(delivered(*parts.claim()))
    assert redis.hget(f"{SPACE}:record:{parts.crawl_id}", "undelivered") == "0"


def test_no_more_is_claimed_than_a_worker_can_hold(redis: Redis) -> None:
    parts = OutboxParts(redis)
    parts.crawled(5)
    for number in range(1, 6):
        redis.hset(f"{SPACE}:events:{parts.crawl_id}", str(number), "x" * 5_000_000)
    assert len(parts.claim()) == 2


def test_without_a_callback_it_is_delivered_at_once(redis: Redis) -> None:
    parts = OutboxParts(redis, callback=None)
    parts.crawled(2)
    assert (parts.state, parts.claim()) == ("delivered", [])
