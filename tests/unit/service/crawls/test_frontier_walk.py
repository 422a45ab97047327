"""A crawl worked off in any order finds each page once, at its shortest depth."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from service.crawls.frontier import Frontier, FrontierPage
from service.crawls.store import ServiceCrawlStore
from tests.builders import Clock
from tests.unit.service.crawls.crawl_parts import (
    START_URL,
    completed,
    frontier_of,
    order,
    settle,
    snapshot_of,
    url_of,
)


def walk(
    store: ServiceCrawlStore, frontier: Frontier, crawl: str, graph: Mapping[str, Sequence[str]], dice: random.Random
) -> dict[str, int]:
    """Work the crawl off in any order; the depth of each page."""
    depths: dict[str, int] = {}
    held: list[FrontierPage] = []
    while snapshot_of(store, crawl).fields["state"] in ("delayed", "running"):
        held += frontier.claim(dice.randint(1, 5)).pages
        dice.shuffle(held)
        for _ in range(dice.randint(0, len(held))):
            page = held.pop()
            assert page.url not in depths
            depths[page.url] = page.depth
            assert (
                settle(frontier, page, completed(page, *(graph.get(page.url, ()) if page.depth < 3 else ())))
                == "settled"
            )
    assert not held
    return depths


def breadth_first(graph: Mapping[str, Sequence[str]], deepest: int) -> dict[str, int]:
    depths, level = {START_URL: 0}, [START_URL]
    for depth in range(1, deepest + 1):
        found = dict.fromkeys(link for url in level for link in graph.get(url, ()))
        level = [url for url in found if url not in depths]
        depths |= dict.fromkeys(level, depth)
    return depths


@given(links=st.lists(st.lists(st.integers(0, 14), max_size=6), max_size=15), seed=st.integers())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_page_is_claimed_once_at_its_shortest_depth_in_whatever_order(
    redis: Redis, links: list[list[int]], seed: int
) -> None:
    graph = {url_of(page): [url_of(link) for link in to] for page, to in enumerate(links)}
    store, frontier = frontier_of(redis, Clock())
    depths = walk(store, frontier, store.create(order()), graph, random.Random(seed))  # noqa: S311  (a repeatable one)
    assert depths == breadth_first(graph, 3)
