"""One round in a lane of runs, without a ledger: what it claims, and when it settles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from longhaul.ledger.due import Claim, Row
from longhaul.ledger.portions import PORTION_BYTES
from service.jobs.lane_round import LaneRound


class Backlog:
    """Rows whose names say when they are done: `slow` when the others have been settled, the rest at once."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.claims: list[int] = []
        self.settled: list[list[str]] = []
        self.others_done = asyncio.Event()
        self.fast = sum(name != "slow" for name in names)
        self.loop = asyncio.get_running_loop()

    def claim(self, limit: int) -> Claim:
        taken, self.names = self.names[:limit], self.names[limit:]
        self.claims.append(limit)
        return Claim(0.0, 0, bool(self.names), [Row(name, {}, {}) for name in taken], probe=False)

    async def act(self, row: Row) -> str:
        if row.id == "slow":
            await self.others_done.wait()
        return row.id

    def settle(self, done: Sequence[tuple[Row, str]]) -> None:
        self.settled.append([row.id for row, _ in done])
        if sum(len(group) for group in self.settled) >= self.fast:
            self.loop.call_soon_threadsafe(self.others_done.set)

    def round(self, stopping: Callable[[], bool] = lambda: False) -> LaneRound[str]:
        return LaneRound(
            self.claim,
            self.act,
            self.settle,
            weigh=lambda result: PORTION_BYTES if result.startswith("big") else 1,
            size=4,
            stopping=stopping,
        )


def worked_off(*names: str, stopping: Callable[[Backlog], bool] = lambda _: False) -> tuple[int, Backlog]:
    """How many runs a round of four places worked off, and what is left."""

    async def run() -> tuple[int, Backlog]:
        backlog = Backlog(names)
        lane_round = backlog.round(lambda: stopping(backlog))
        return await asyncio.wait_for(lane_round.run(backlog.claim(4)), 10), backlog

    return asyncio.run(run())


def test_no_run_waits_for_the_slowest_and_free_places_are_filled() -> None:
    # `slow` ends only after all others were settled, those that were claimed later included: else this never ends.
    count, backlog = worked_off("slow", *(f"fast{n}" for n in range(20)))
    assert count == 21
    assert backlog.settled[-1] == ["slow"]
    assert sum(len(group) for group in backlog.settled) == 21
    assert max(backlog.claims[1:]) <= 3


def test_it_claims_when_half_of_its_places_are_free_and_no_more_after_the_last_run() -> None:
    async def run() -> Backlog:
        backlog = Backlog(["0", "1", "2", "3", "4", "5", "6", "7"])
        settled = [asyncio.Event() for _ in range(9)]

        async def act(row: Row) -> str:
            # One run is done after the other, each when the one before has been settled.
            await settled[int(row.id)].wait()
            return row.id

        def settle(done: Sequence[tuple[Row, str]]) -> None:
            for row, _ in done:
                backlog.loop.call_soon_threadsafe(settled[int(row.id) + 1].set)

        settled[0].set()
        lane_round = LaneRound(backlog.claim, act, settle, weigh=len, size=4, stopping=lambda: False)
        assert await asyncio.wait_for(lane_round.run(backlog.claim(4)), 10) == 8
        return backlog

    assert asyncio.run(run()).claims == [4, 2, 2]


def test_big_results_are_settled_one_at_a_time() -> None:
    groups = worked_off("big1", "big2", "small1", "small2")[1].settled
    assert all(sum(name.startswith("big") for name in group) <= 1 for group in groups)
    assert sorted(name for group in groups for name in group) == ["big1", "big2", "small1", "small2"]


def test_a_round_that_is_to_stop_claims_no_more_and_finishes_what_it_has() -> None:
    count, backlog = worked_off(*(f"fast{n}" for n in range(20)), stopping=lambda backlog: bool(backlog.settled))
    assert count == 4
    assert sorted(name for group in backlog.settled for name in group) == ["fast0", "fast1", "fast2", "fast3"]
    assert backlog.claims == [4]


def test_what_settling_raises_ends_the_round() -> None:
    async def run() -> None:
        backlog = Backlog(["fast", "slow"])

        def refuse(done: Sequence[tuple[Row, str]]) -> None:
            raise ConnectionError([row.id for row, _ in done])

        lane_round = LaneRound(backlog.claim, backlog.act, refuse, weigh=len, size=2, stopping=lambda: False)
        await lane_round.run(backlog.claim(2))

    with pytest.raises(ConnectionError, match="fast"):
        asyncio.run(run())
