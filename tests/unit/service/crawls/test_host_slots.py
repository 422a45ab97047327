"""Slots of hosts within one round."""

from __future__ import annotations

import asyncio

from service.crawls.frontier import FrontierPage, SlotGrant
from service.crawls.host_slots import HostSlotTable

PAGES = [FrontierPage("crawl", 1, f"http://a.test:81/{number}?x", "9", 0) for number in range(6)]
HOST = "a.test:81"


def test_a_page_knows_its_host() -> None:
    assert {page.host for page in PAGES} == {HOST}
    assert FrontierPage("crawl", 1, "http://a.test?x/y", "9", 0).host == "a.test"


def test_no_more_are_under_way_than_there_are_slots() -> None:
    async def run() -> list[int]:
        slots, busy, most = HostSlotTable(), 0, []
        slots.add(PAGES[:3], [SlotGrant(HOST, 1, 0.0)])

        async def fetch(page: FrontierPage) -> None:
            nonlocal busy
            async with slots.of(page.host).free:
                busy += 1
                most.append(busy)
                await asyncio.sleep(0)
                busy -= 1

        await asyncio.gather(*map(fetch, PAGES[:3]))
        slots.add(PAGES[3:], [SlotGrant(HOST, 2, 0.0)])
        await asyncio.gather(*map(fetch, PAGES))
        return [max(most[:3]), max(most[3:])]

    assert asyncio.run(run()) == [1, 2]


def test_slots_are_given_back_with_the_last_page_and_a_backoff_is_kept() -> None:
    slots = HostSlotTable()
    slots.add(PAGES[:2], [SlotGrant(HOST, 2, 0.0)])
    slots.add([], [SlotGrant(HOST, 2, 50.0)])
    assert slots.of(HOST).backoff_until == 50.0
    slots.remove(PAGES[:1])
    assert dict(slots.held) == {HOST: 1}
    slots.remove(PAGES[1:2])
    assert dict(slots.held) == {HOST: 0}  # the frontier takes the slots back
    slots.add([], [SlotGrant(HOST, 0, 0.0)])
    assert not slots.held
    assert slots.of(HOST).slots == 0
