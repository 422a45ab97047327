"""A crash between any two steps of a crawl, in the workers and in the receiver: each page once, one summary, nothing
left running.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.pushes import CrawlPushes
from longhaul.work.batch_runner import BatchRunner
from tests.flow.crash_points import Around, Crash, CrashPoints
from tests.flow.crawl_world import LEASE, CrawlWorld
from tests.flow.crawler import events


@dataclass
class Parts:
    """What a crash may come in: the workers' part, and the receiver's."""

    runner: BatchRunner
    pushes: CrawlPushes


def crashing(world: CrawlWorld, points: CrashPoints) -> Parts:
    runner = world.runner
    wrapped = {name: Around(getattr(runner, name), points) for name in ("store", "remote", "decider")}
    on_applied = Around(runner, points).on_applied
    return Parts(replace(runner, **wrapped, on_applied=on_applied), CrawlPushes(**wrapped, on_applied=on_applied))


def every_crash(
    fresh: Callable[..., CrawlWorld],
    scenario: Callable[[CrawlWorld, Parts], None],
    check: Callable[[CrawlWorld], None],
    bring_home: Callable[[CrawlWorld], None] = CrawlWorld.bring_home,
) -> list[str]:
    """Run `scenario` with a crash at each crossing in turn, bring the crawls home, and check; returns the names of the
    crossings.
    """
    at = 0
    while True:
        at += 1
        world = fresh()
        points = CrashPoints(at)
        crashed = False
        try:
            scenario(world, crashing(world, points))
        except Crash:
            crashed = True
        world.clock.now += LEASE + 1
        bring_home(world)
        check(world)
        if not crashed:
            return points.crossed


def each_page_once_and_one_summary(world: CrawlWorld) -> None:
    for id_ in ("a", "b"):
        envelope = world.end(id_)
        pages = world.pages(id_)
        assert sorted(page["url"] for page in pages) == [f"https://example.com/{id_}/{at}" for at in range(3)]
        assert (envelope["status"], envelope["received"], envelope["missing"], envelope["done"]) == (
            "finished",
            3,
            0,
            3,
        )
    assert world.crawler.running == {}
    # A second creation where the first one's answer was lost with its claimant, and only there; it is told to stop, or
    # taken for the crawl.
    assert len(world.crawler.orders) <= 3


def test_a_crash_anywhere_between_order_and_summary_loses_and_doubles_nothing(fresh_crawls):
    def scenario(world, parts):
        world.order("a", "b")
        parts.runner.run(CrawlStep.CREATE, "default")
        world.clock.now += 10
        parts.runner.run(CrawlStep.POLL, "default")
        world.deliver(parts.pushes)
        world.clock.now += 10
        parts.runner.run(CrawlStep.POLL, "default")

    crossed = every_crash(fresh_crawls, scenario, each_page_once_and_one_summary)
    wanted = {"claim", "decide", "record", "after_event", "apply"}
    assert {f"{when} {name}" for when in ("before", "after") for name in wanted} <= set(crossed)
    assert {"before act", "an answer was read", "an answer was dealt with"} <= set(crossed)
    assert len(crossed) > 60


def test_a_crash_anywhere_in_a_cancellation_leaves_one_envelope_and_nothing_running(fresh_crawls):
    def scenario(world, parts):
        world.create("a")
        world.order("b")
        world.push("a", *world.crawler.running["remote-1"][:1], pushes=parts.pushes)
        for id_ in ("a", "b"):
            parts.runner.store.cancel(id_)
        parts.runner.run(CrawlStep.CANCEL, "default")

    def check(world):
        for id_ in ("a", "b"):
            envelope = world.end(id_)
            # Where the crash came before the mark, nobody has cancelled anything.
            assert envelope["status"] in {"cancelled", "finished"}
            assert envelope["received"] == len(world.pages(id_))
        assert world.crawler.running == {}

    crossed = every_crash(fresh_crawls, scenario, check)
    assert {"before cancel", "after cancel", "after claim", "after decide", "after apply"} <= set(crossed)


def test_a_crash_anywhere_between_two_runs_of_a_recurring_crawl_gives_each_run_its_pages_and_its_summary(fresh_crawls):
    def tell(world, pushes):
        for number in (1, 2):
            for event in events("remote-1", "https://example.com/a/", 2, run=number):
                world.push("a", event, pushes=pushes)

    def scenario(world, parts):
        world.create("a", interval="daily")
        world.crawler.running.clear()
        world.crawler.ended.add("remote-1")
        tell(world, parts.pushes)

    def bring_home(world):
        world.run(*CrawlStep)
        # The remote pushes what was not answered once more; here all of it.
        tell(world, world.pushes)

    def check(world):
        ends, pages = world.ends("a"), world.pages("a")
        assert [(end["run"], end["status"], end["received"], end["missing"]) for end in ends] == [
            (1, "finished", 2, 0),
            (2, "finished", 2, 0),
        ]
        wanted = [(number, f"https://example.com/a/{at}") for number in (1, 2) for at in range(2)]
        assert sorted((page["run"], page["url"]) for page in pages) == wanted

    assert len(every_crash(fresh_crawls, scenario, check, bring_home)) > 20
