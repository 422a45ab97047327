"""Writes in groups: whoever comes while one is under way goes with the next, and everybody gets his own answer."""

import asyncio

import pytest

from workers.receiver.write_coalescer import WriteCoalescer

ROOMY = 1000


class Ledger:
    """Doubles what it is given; the first write waits until it is let go."""

    def __init__(self):
        self.groups = []
        self.began, self.go = asyncio.Event(), asyncio.Event()

    async def write(self, pieces):
        self.groups.append(list(pieces))
        self.began.set()
        await asyncio.wait_for(self.go.wait(), 10)
        if "boom" in pieces:
            raise ConnectionError("away")
        return [piece * 2 for piece in pieces]


def test_what_comes_while_a_write_is_under_way_goes_with_the_next_in_order():
    async def scenario():
        ledger = Ledger()
        gathering = WriteCoalescer(ledger.write, ROOMY)
        first = asyncio.create_task(gathering.add(1, 1))
        await asyncio.wait_for(ledger.began.wait(), 10)
        others = [asyncio.create_task(gathering.add(n, 1)) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        assert len(gathering._waiting) == 3
        ledger.go.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
        assert ledger.groups == [[1], [2, 3, 4]]
        # And it goes on afterwards.
        assert await gathering.add(5, 1) == 10

    asyncio.run(scenario())


def test_a_group_ends_with_the_piece_with_which_it_is_big_enough():
    async def scenario():
        ledger = Ledger()
        gathering = WriteCoalescer(ledger.write, 10)
        first = asyncio.create_task(gathering.add(1, 99))
        await asyncio.wait_for(ledger.began.wait(), 10)
        others = [asyncio.create_task(gathering.add(n, size)) for n, size in ((2, 6), (3, 4), (4, 50), (5, 9))]
        await asyncio.sleep(0)
        ledger.go.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10]
        assert ledger.groups == [[1], [2, 3], [4], [5]]

    asyncio.run(scenario())


def test_what_a_write_raises_all_of_its_group_get_and_the_next_group_does_not():
    async def scenario():
        ledger = Ledger()
        gathering = WriteCoalescer(ledger.write, ROOMY)
        first = asyncio.create_task(gathering.add(1, 1))
        await asyncio.wait_for(ledger.began.wait(), 10)
        bad = [asyncio.create_task(gathering.add(n, 1)) for n in ("boom", 3)]
        await asyncio.sleep(0)
        assert len(gathering._waiting) == 2
        ledger.go.set()
        assert await first == 2
        for task in bad:
            with pytest.raises(ConnectionError, match="away"):
                await task
        assert await gathering.add(5, 1) == 10

    asyncio.run(scenario())


def test_somebody_who_has_hung_up_holds_up_nobody():
    async def scenario():
        ledger = Ledger()
        gathering = WriteCoalescer(ledger.write, ROOMY)
        first = asyncio.create_task(gathering.add(1, 1))
        await asyncio.wait_for(ledger.began.wait(), 10)
        gone, stays = (asyncio.create_task(gathering.add(n, 1)) for n in (2, 3))
        await asyncio.sleep(0)
        assert len(gathering._waiting) == 2
        gone.cancel()
        ledger.go.set()
        assert (await first, await stays) == (2, 6)

    asyncio.run(scenario())
