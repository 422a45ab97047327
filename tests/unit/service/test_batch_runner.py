from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from longhaul.ledger.portions import PORTION_BYTES
from service.batch_runner import BatchRunner


class Backlog:
    """Items whose names say when they are done: `slow` when all others have been written, the rest at once."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.fast = len([name for name in names if name != "slow"])
        self.written: list[list[str]] = []
        self.limits: list[int] = []
        self.others_done = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def take(self, limit: int) -> list[str]:
        taken, self.names = self.names[:limit], self.names[limit:]
        return taken

    def exchange(self, done: Sequence[tuple[str, str]], limit: int) -> list[str]:
        if done:
            self.written.append([name for name, _ in done])
        self.limits.append(limit)
        if sum(map(len, self.written)) >= self.fast:
            self.loop.call_soon_threadsafe(self.others_done.set)
        return self.take(limit)

    async def act(self, name: str) -> str:
        if name == "slow":
            await self.others_done.wait()
        if name == "broken":
            raise ArithmeticError(name)
        return name

    def runner(self, size: int) -> BatchRunner[str, str]:
        return BatchRunner(
            self.act,
            self.exchange,
            lambda result: PORTION_BYTES if result.startswith("big") else 1,
            size,
            idle_pauses=(0.001, 0.001),
        )


def worked_off(*names: str, size: int = 4) -> Backlog:
    async def run() -> Backlog:
        backlog = Backlog(names)
        assert await asyncio.wait_for(backlog.runner(size).run(backlog.take(size)), 10) == len(names)
        return backlog

    return asyncio.run(run())


def test_no_item_waits_for_the_slowest_and_free_places_are_filled() -> None:
    backlog = worked_off("slow", *(f"fast{number}" for number in range(20)))
    assert backlog.written[-1] == ["slow"]
    assert sum(map(len, backlog.written)) == 21
    assert max(backlog.limits[: len(backlog.written) - 1]) <= 3


def test_big_results_are_written_one_at_a_time() -> None:
    backlog = worked_off("big1", "big2", "small1", "small2")
    assert all(sum(name.startswith("big") for name in group) <= 1 for group in backlog.written)
    assert sorted(name for group in backlog.written for name in group) == ["big1", "big2", "small1", "small2"]


def test_before_it_ends_it_asks_a_few_times_more() -> None:
    assert worked_off().limits == [4, 4]


def test_what_comes_during_its_idle_pauses_is_worked_off_too() -> None:
    async def run() -> list[list[str]]:
        backlog = Backlog(["first"])

        def exchange(done: Sequence[tuple[str, str]], limit: int) -> list[str]:
            if len(backlog.limits) == 2:
                backlog.names.append("late")
            return backlog.exchange(done, limit)

        runner = BatchRunner(backlog.act, exchange, len, 4, idle_pauses=(0.001, 0.001))
        assert await asyncio.wait_for(runner.run(backlog.take(4)), 10) == 2
        return backlog.written

    assert asyncio.run(run()) == [["first"], ["late"]]


def test_it_asks_for_more_even_where_all_it_has_is_slow() -> None:
    async def run() -> list[list[str]]:
        backlog = Backlog([])
        backlog.fast = 1

        def exchange(done: Sequence[tuple[str, str]], limit: int) -> list[str]:
            backlog.names += [] if backlog.limits else ["late"]
            return backlog.exchange(done, limit)

        runner = BatchRunner(backlog.act, exchange, len, 4, beat_seconds=0.001, idle_pauses=())
        assert await asyncio.wait_for(runner.run(["slow"]), 10) == 2
        return backlog.written

    assert asyncio.run(run()) == [["late"], ["slow"]]


def test_an_item_that_raises_ends_the_run_with_its_error() -> None:
    with pytest.raises(ArithmeticError, match="broken"):
        worked_off("fast", "broken")


def test_where_nothing_can_be_written_nothing_stays_under_way() -> None:
    async def run() -> tuple[list[str], set[asyncio.Task[object]]]:
        ended: list[str] = []

        async def act(name: str) -> str:
            if name == "fast":
                return name
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)
            return name

        def refuse(done: Sequence[tuple[str, str]], limit: int) -> list[str]:
            raise ConnectionError([name for name, _ in done], limit)

        with pytest.raises(ConnectionError, match="fast"):
            await BatchRunner(act, refuse, len, 2).run(["fast", "slow"])
        return ended, asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(run()) == (["slow"], set())


def test_it_claims_nothing_when_its_time_is_over() -> None:
    async def run() -> Backlog:
        backlog = Backlog([f"fast{number}" for number in range(9)])
        runner = BatchRunner(backlog.act, backlog.exchange, len, 4, claim_seconds=0.0)
        assert await asyncio.wait_for(runner.run(backlog.take(4)), 10) == 4
        return backlog

    assert set(asyncio.run(run()).limits) == {0}


def test_it_claims_only_where_there_is_room_for_a_claim() -> None:
    async def run() -> list[int]:
        loop, written, limits = asyncio.get_running_loop(), [asyncio.Event() for _ in range(9)], []
        waiting = list(range(4, 8))

        async def act(number: int) -> int:
            # One item is done after the other, each when the one before has been written.
            await written[number].wait()
            return number

        def exchange(done: Sequence[tuple[int, int]], limit: int) -> list[int]:
            for number, _ in done:
                loop.call_soon_threadsafe(written[number + 1].set)
            limits.append(limit)
            claimed = waiting[:limit]
            del waiting[: len(claimed)]
            return claimed

        written[0].set()
        runner = BatchRunner(act, exchange, lambda _: 1, 4, least_claim=3, idle_pauses=())
        assert await asyncio.wait_for(runner.run(range(4)), 10) == 8
        return limits

    # Room for one, two, then three, which are claimed; then room for one again.
    assert asyncio.run(run()) == [0, 0, 3, 0, 0, 3, 3, 4]


def test_a_run_that_is_to_stop_claims_no_more_and_writes_what_it_has() -> None:
    async def run() -> Backlog:
        backlog = Backlog([f"fast{number}" for number in range(20)])
        runner = BatchRunner(backlog.act, backlog.exchange, len, 4, stopping=lambda: True)
        assert await asyncio.wait_for(runner.run(backlog.take(4)), 10) == 4
        return backlog

    backlog = asyncio.run(run())
    assert sorted(name for group in backlog.written for name in group) == ["fast0", "fast1", "fast2", "fast3"]
    assert set(backlog.limits) == {0}
