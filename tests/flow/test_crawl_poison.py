"""Crawls that make a step raise: the round goes on, they are set aside after three tries, and limits hold for crawls,
too.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.decider import CrawlDecider
from longhaul.crawls.store import CrawlStore
from longhaul.errors import WriteRefused
from longhaul.work.account_limits import AccountLimit
from longhaul.work.batch_runner import BatchRunner
from longhaul.work.item import State
from tests.builders import default_policies
from tests.flow.crawl_world import GRACE, SITE, CrawlWorld
from tests.flow.crawler import page

SPACE = "longhaul:{crawls}"
CREATE, POLL, CANCEL = CrawlStep


def spoil(world: CrawlWorld, id_: str, name: str, value: str | bytes) -> None:
    world.redis.hset(f"{SPACE}:record:{id_}", name, value)


def wait_out(world: CrawlWorld, *steps: CrawlStep, rounds: int = 4) -> None:
    for _ in range(rounds):
        world.run(*(steps or CrawlStep))
        world.clock.now += 130


def quarantined(world: CrawlWorld) -> dict[str, tuple[str, str]]:
    assert world.books().faults == []
    return {one.id: (one.origin, one.words) for one in world.store.quarantine.first(100)}


SPOILT = [
    ("request", "{"),
    ("request", "[]"),
    ("request", b'{"start_url": "http://x/\xff"}'),
    ("callback", b"\xff"),
    ("state", "perhaps"),
    ("created", "soon"),
    ("created", "inf"),
    ("polls", "many"),
    ("queue", "a:b"),
    ("meta", "{"),
]


@pytest.mark.parametrize("step", [CREATE, POLL])
@pytest.mark.parametrize(("name", "value"), SPOILT)
def test_a_crawl_that_cannot_be_read_is_quarantined_and_its_batch_goes_on(crawls, name, value, step):
    (crawls.create if step is POLL else crawls.order)("bad", "good")
    spoil(crawls, "bad", name, value)
    crawls.run(step)
    assert crawls.store.state("good") is State.RUNNING
    wait_out(crawls)
    assert quarantined(crawls) == {"bad": (f"{step}:default", f"cannot be read: {name}")}
    assert len(crawls.crawler.orders) == (2 if step is POLL else 1)


@pytest.mark.parametrize("step", [CREATE, POLL])
@pytest.mark.parametrize(("name", "value"), SPOILT)
def test_cancelling_ends_it_with_its_one_envelope(crawls, name, value, step):
    (crawls.create if step is POLL else crawls.order)("bad")
    spoil(crawls, "bad", name, value)
    wait_out(crawls)
    assert list(quarantined(crawls)) == ["bad"]
    assert crawls.store.cancel("bad") == ("marked", "default")
    crawls.run(CANCEL)
    assert crawls.store.state("bad") is State.CANCELLED
    (envelope,) = crawls.ends("bad")
    assert envelope["status"] == "cancelled"
    assert (crawls.books().faults, crawls.books().open, crawls.crawler.running) == ([], 0, {})
    assert crawls.store.cancel("bad")[0] == "cancelled"


def test_what_was_mended_goes_on(crawls):
    crawls.create("bad")
    spoil(crawls, "bad", "created", "x")
    wait_out(crawls)
    spoil(crawls, "bad", "created", f"{crawls.clock.now:.3f}")
    assert crawls.store.quarantine.retry(["bad"]) == ["poll:default"]
    crawls.bring_home()
    assert crawls.end("bad")["status"] == "finished"


class Bug:
    """A decider with a bug that meets one crawl: the fault of a program cannot be made at the far end."""

    def __init__(self, id_: str) -> None:
        self._decider, self._id = CrawlDecider(default_policies(), GRACE), id_

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._decider, name)
        if not callable(found):
            return found

        def decide(step: CrawlStep, crawl: Any, *args: Any) -> Any:
            if crawl.id == self._id:
                raise KeyError("apiKey=hunter2")
            return found(step, crawl, *args)

        return decide


def test_a_crawl_on_which_nothing_can_be_decided_does_not_end_the_batch(crawls, caplog):
    crawls.order("bad", "good")
    runner = replace(crawls.runner, decider=Bug("bad"))
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            runner.run(CREATE, "default")
            crawls.clock.now += 130
    assert crawls.store.state("good") is State.RUNNING
    ((lane, words),) = quarantined(crawls).values()
    assert (lane, words.partition(" at ")[0]) == ("create:default", "deciding: KeyError")
    said = [record.levelname for record in caplog.records if record.name == "longhaul.work.store"]
    assert said == ["WARNING"] * 3 + ["ERROR"]
    assert "hunter2" not in caplog.text + words


def test_an_event_is_not_taken_where_the_end_of_its_crawls_run_cannot_be_written(crawls):
    crawls.create("bad", interval="daily")
    crawls.push("bad", page("remote-1", f"{SITE}bad/", run=1))
    crawls.redis.delete("longhaul:results:results")
    crawls.redis.set("longhaul:results:results", "x")
    with pytest.raises(WriteRefused, match=r"^crawl bad: writing: ResponseError$"):
        crawls.push("bad", page("remote-1", f"{SITE}bad/", run=2))
    assert "writing: ResponseError" in crawls.redis.hgetall(f"{SPACE}:record:bad").values()


def limited(world: CrawlWorld, **allowance: Any) -> BatchRunner:
    limits = replace(world.store.limits, accounts={"default": AccountLimit(**allowance)})
    return replace(world.runner, store=CrawlStore(world.redis, limits, None, world.clock))


def test_crawls_are_created_as_fast_as_the_account_may_and_no_faster(crawls):
    crawls.order(*(f"c{n}" for n in range(10)))
    runner, created = limited(crawls, per_second=3), []
    for _ in range(5):
        before = len(crawls.crawler.orders)
        report = runner.run(CREATE, "default")
        created.append(len(crawls.crawler.orders) - before)
        assert report.more is False
        crawls.clock.now += 1
    # From the third second on polls are due, and keep a share of their own.
    assert created == [3, 3, 2, 2, 0]


def test_no_more_batches_of_a_step_than_calls_may_be_open(crawls: CrawlWorld, redis: Redis):
    crawls.order("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")
    runner = limited(crawls, open=2)
    assert len(runner.store.dispatch(CREATE)) == 2
    redis.delete(f"{SPACE}:started:create")
    tokens = [runner.store.token(CREATE, "default") for _ in range(3)]
    assert [len(runner.store.claim(CREATE, "default", token).items) for token in tokens] == [1, 1, 0]
    # A round that nobody has dispatched counts, too, and gives its token back.
    assert runner.run(CREATE, "default").claimed == 0
    for token in tokens:
        runner.store.leave(CREATE, token)
    at_work = []
    crawls.crawler.before = lambda _: at_work.append(redis.zcard(f"{SPACE}:working:create"))
    assert runner.run(CREATE, "default").claimed == 9
    assert at_work == [1] * 9
    assert redis.zcard(f"{SPACE}:working:create") == 0
