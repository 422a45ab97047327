"""Slots of hosts within one round."""

from __future__ import annotations

import asyncio

from service.crawls.frontier import FrontierPage, Grant
from service.crawls.host_slots import HostSlotTable

PAGES = [FrontierPage("crawl", 1, f"http://a.test:81/{number}?x", "9", 0) for number in range(6)]
HOST = "a.test:81"


def test_a_page_knows_its_host() -> None:
    assert {page.host for page in PAGES} == {HOST}
    assert FrontierPage("crawl", 1, "http://a.test?x/y", "9", 0).host == "a.test"


def test_no_more_are_under_way_than_there_are_slots() -> None:
    async def run() -> list[int]:
        gates, busy, most = HostSlotTable(), 0, []
        gates.enter(PAGES[:3], [Grant(HOST, 1, 0.0)])

        async def fetch(page: FrontierPage) -> None:
            nonlocal busy
            async with gates.at(page.host).free:
                busy += 1
                most.append(busy)
                await asyncio.sleep(0)
                busy -= 1

        await asyncio.gather(*map(fetch, PAGES[:3]))
        gates.enter(PAGES[3:], [Grant(HOST, 2, 0.0)])
        await asyncio.gather(*map(fetch, PAGES))
        return [max(most[:3]), max(most[3:])]

    assert asyncio.run(run()) == [1, 2]


def test_slots_are_given_back_with_the_last_page_and_a_rest_is_kept() -> None:
    gates = HostSlotTable()
    gates.enter(PAGES[:2], [Grant(HOST, 2, 0.0)])
    gates.enter([], [Grant(HOST, 2, 50.0)])
    assert gates.at(HOST).backoff_until == 50.0
    gates.leave(PAGES[:1])
    assert dict(gates.held) == {HOST: 1}
    gates.leave(PAGES[1:2])
    assert dict(gates.held) == {HOST: 0}  # what the frontier has to hear once
    gates.enter([], [Grant(HOST, 0, 0.0)])
    assert not gates.held
    assert gates.at(HOST).slots == 0
