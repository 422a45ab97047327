from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from service.batch_runner import WRITTEN_AT_ONCE, Stream


class Backlog:
    """Pieces whose names say when they are done: `slow` when all others have been written, the rest at once."""

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

    def stream(self, size: int) -> Stream[str, str]:
        return Stream(
            self.act,
            self.exchange,
            lambda outcome: WRITTEN_AT_ONCE if outcome.startswith("big") else 1,
            size,
            lingering=(0.001, 0.001),
        )


def worked_off(*names: str, size: int = 4) -> Backlog:
    async def run() -> Backlog:
        backlog = Backlog(names)
        assert await asyncio.wait_for(backlog.stream(size).run(backlog.take(size)), 10) == len(names)
        return backlog

    return asyncio.run(run())


def test_nobody_waits_for_the_slowest_and_its_neighbours_places_are_filled() -> None:
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


def test_what_comes_while_it_lingers_is_worked_off_too() -> None:
    async def run() -> list[list[str]]:
        backlog = Backlog(["first"])

        def exchange(done: Sequence[tuple[str, str]], limit: int) -> list[str]:
            if len(backlog.limits) == 2:
                backlog.names.append("late")
            return backlog.exchange(done, limit)

        stream = Stream(backlog.act, exchange, len, 4, lingering=(0.001, 0.001))
        assert await asyncio.wait_for(stream.run(backlog.take(4)), 10) == 2
        return backlog.written

    assert asyncio.run(run()) == [["first"], ["late"]]


def test_it_asks_for_more_even_where_all_it_has_is_slow() -> None:
    async def run() -> list[list[str]]:
        backlog = Backlog([])
        backlog.fast = 1

        def exchange(done: Sequence[tuple[str, str]], limit: int) -> list[str]:
            backlog.names += [] if backlog.limits else ["late"]
            return backlog.exchange(done, limit)

        stream = Stream(backlog.act, exchange, len, 4, beat=0.001, lingering=())
        assert await asyncio.wait_for(stream.run(["slow"]), 10) == 2
        return backlog.written

    assert asyncio.run(run()) == [["late"], ["slow"]]


def test_a_broken_piece_ends_the_stream() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        worked_off("fast", "broken")
    assert isinstance(raised.value.exceptions[0], ArithmeticError)


def test_a_stream_that_is_to_stop_asks_for_no_more_and_writes_what_it_has() -> None:
    async def run() -> Backlog:
        backlog = Backlog([f"fast{number}" for number in range(20)])
        stream = Stream(backlog.act, backlog.exchange, len, 4, stopping=lambda: True)
        assert await asyncio.wait_for(stream.run(backlog.take(4)), 10) == 4
        return backlog

    backlog = asyncio.run(run())
    assert sorted(name for group in backlog.written for name in group) == ["fast0", "fast1", "fast2", "fast3"]
    assert set(backlog.limits) == {0}
