"""Writes in groups: what arrives during a write goes with the next, and every request gets its own answer."""

import asyncio

import pytest

from workers.receiver.write_coalescer import WriteCoalescer

ROOMY = 1000


class Ledger:
    """Doubles what it is given; the first write waits until the test lets it go."""

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
        coalescer = WriteCoalescer(ledger.write, ROOMY)
        first = asyncio.create_task(coalescer.add(1, 1))
        await asyncio.wait_for(ledger.began.wait(), 10)
        others = [asyncio.create_task(coalescer.add(n, 1)) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        assert len(coalescer._waiting) == 3
        ledger.go.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
        assert ledger.groups == [[1], [2, 3, 4]]
        # And it goes on afterwards.
        assert await coalescer.add(5, 1) == 10

    asyncio.run(scenario())


def test_a_group_has_no_more_bytes_than_the_limit_or_one_piece():
    async def scenario():
        ledger = Ledger()
        coalescer = WriteCoalescer(ledger.write, 10)
        first = asyncio.create_task(coalescer.add(1, 99))
        await asyncio.wait_for(ledger.began.wait(), 10)
        others = [asyncio.create_task(coalescer.add(n, size)) for n, size in ((2, 6), (3, 4), (4, 50), (5, 9), (6, 2))]
        await asyncio.sleep(0)
        ledger.go.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]
        assert ledger.groups == [[1], [2, 3], [4], [5], [6]]

    asyncio.run(scenario())


def test_an_error_of_a_write_goes_to_its_group_and_not_to_the_next():
    async def scenario():
        ledger = Ledger()
        coalescer = WriteCoalescer(ledger.write, ROOMY)
        first = asyncio.create_task(coalescer.add(1, 1))
        await asyncio.wait_for(ledger.began.wait(), 10)
        bad = [asyncio.create_task(coalescer.add(n, 1)) for n in ("boom", 3)]
        await asyncio.sleep(0)
        assert len(coalescer._waiting) == 2
        ledger.go.set()
        assert await first == 2
        for task in bad:
            with pytest.raises(ConnectionError, match="away"):
                await task
        assert await coalescer.add(5, 1) == 10

    asyncio.run(scenario())


def test_a_request_that_has_hung_up_holds_up_no_other():
    async def scenario():
        ledger = Ledger()
        coalescer = WriteCoalescer(ledger.write, ROOMY)
        first = asyncio.create_task(coalescer.add(1, 1))
        await asyncio.wait_for(ledger.began.wait(), 10)
        gone, stays = (asyncio.create_task(coalescer.add(n, 1)) for n in (2, 3))
        await asyncio.sleep(0)
        assert len(coalescer._waiting) == 2
        gone.cancel()
        ledger.go.set()
        assert (await first, await stays) == (2, 6)

    asyncio.run(scenario())
