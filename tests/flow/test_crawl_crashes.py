"""A crash between any two steps of a crawl, in the workers and in the receiver: each page once, one summary, nothing
left running.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.flow import CrawlFlow
from tests.flow.crash_points import Around, Crash, Seams
from tests.flow.crawl_world import LEASE, CrawlWorld
from tests.flow.crawler import events


def crashing(flow: CrawlFlow, seams: Seams) -> CrawlFlow:
    wrapped = {name: Around(getattr(flow, name), seams) for name in ("store", "remote", "decider")}
    return replace(flow, **wrapped, watch=Around(flow, seams).watch)


def every_crash(
    fresh: Callable[..., CrawlWorld],
    scenario: Callable[[CrawlWorld, CrawlFlow], None],
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
        seams = Seams(at)
        crashed = False
        try:
            scenario(world, crashing(world.flow, seams))
        except Crash:
            crashed = True
        world.clock.now += LEASE + 1
        bring_home(world)
        check(world)
        if not crashed:
            return seams.crossed


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
    def scenario(world, flow):
        world.order("a", "b")
        flow.run_round(CrawlStep.CREATE, "default")
        world.clock.now += 10
        flow.run_round(CrawlStep.POLL, "default")
        world.deliver(flow)
        world.clock.now += 10
        flow.run_round(CrawlStep.POLL, "default")

    crossed = every_crash(fresh_crawls, scenario, each_page_once_and_one_summary)
    wanted = {"claim", "create", "after_create", "look", "after_poll", "record", "after_event", "apply"}
    assert {f"{when} {name}" for when in ("before", "after") for name in wanted} <= set(crossed)
    assert len(crossed) > 60


def test_a_crash_anywhere_in_a_cancellation_leaves_one_envelope_and_nothing_running(fresh_crawls):
    def scenario(world, flow):
        world.create("a")
        world.order("b")
        world.push("a", *world.crawler.running["remote-1"][:1], flow=flow)
        for id_ in ("a", "b"):
            flow.store.cancel(id_)
        flow.run_round(CrawlStep.CANCEL, "default")

    def check(world):
        for id_ in ("a", "b"):
            envelope = world.end(id_)
            # Where the crash came before the mark, nobody has cancelled anything.
            assert envelope["status"] in {"cancelled", "finished"}
            assert envelope["received"] == len(world.pages(id_))
        assert world.crawler.running == {}

    crossed = every_crash(fresh_crawls, scenario, check)
    assert {"before cancel", "after cancel", "after claim", "after after_cancel", "after apply"} <= set(crossed)


def test_a_crash_anywhere_between_two_runs_of_a_recurring_crawl_gives_each_run_its_pages_and_its_summary(fresh_crawls):
    def tell(world, flow):
        for number in (1, 2):
            for event in events("remote-1", "https://example.com/a/", 2, run=number):
                world.push("a", event, flow=flow)

    def scenario(world, flow):
        world.create("a", interval="daily")
        world.crawler.running.clear()
        world.crawler.ended.add("remote-1")
        tell(world, flow)

    def bring_home(world):
        world.run(*CrawlStep)
        # The remote pushes what was not answered once more; here all of it.
        tell(world, world.flow)

    def check(world):
        ends, pages = world.ends("a"), world.pages("a")
        assert [(end["run"], end["status"], end["received"], end["missing"]) for end in ends] == [
            (1, "finished", 2, 0),
            (2, "finished", 2, 0),
        ]
        wanted = [(number, f"https://example.com/a/{at}") for number in (1, 2) for at in range(2)]
        assert sorted((page["run"], page["url"]) for page in pages) == wanted

    assert len(every_crash(fresh_crawls, scenario, check, bring_home)) > 20
