from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from longhaul.ledger.due import Claim, Row
from service.rounds import APPLIED_AT_ONCE, Round


class Backlog:
    """Rows whose names say when they are done: `slow` when the others have been applied, the rest at once."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.claims: list[int] = []
        self.applied: list[list[str]] = []
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

    def apply(self, done: Sequence[tuple[Row, str]]) -> None:
        self.applied.append([row.id for row, _ in done])
        if sum(len(group) for group in self.applied) >= self.fast:
            self.loop.call_soon_threadsafe(self.others_done.set)

    def round(self) -> Round[str]:
        return Round(
            self.claim, self.act, self.apply, lambda outcome: APPLIED_AT_ONCE if outcome.startswith("big") else 1
        )


def test_nobody_waits_for_the_slowest_and_its_neighbours_places_are_filled() -> None:
    async def run() -> Backlog:
        backlog = Backlog(["slow", *(f"fast{n}" for n in range(20))])
        # `slow` ends only after all others were applied, those that were claimed later included: else this never ends.
        assert await asyncio.wait_for(backlog.round().run(backlog.claim(4), 4), 10) == 21
        return backlog

    backlog = asyncio.run(run())
    assert backlog.applied[-1] == ["slow"]
    assert sum(len(group) for group in backlog.applied) == 21
    assert max(backlog.claims[1:]) <= 3


def test_big_results_are_written_one_at_a_time() -> None:
    async def run() -> Backlog:
        backlog = Backlog(["big1", "big2", "small1", "small2"])
        await backlog.round().run(backlog.claim(4), 4)
        return backlog

    groups = asyncio.run(run()).applied
    assert all(sum(name.startswith("big") for name in group) <= 1 for group in groups)
    assert sorted(name for group in groups for name in group) == ["big1", "big2", "small1", "small2"]


def test_a_round_that_is_to_stop_claims_no_more_and_finishes_what_it_has() -> None:
    async def run() -> Backlog:
        backlog = Backlog([f"fast{n}" for n in range(20)])
        stopped = Round(backlog.claim, backlog.act, backlog.apply, len, stopping=lambda: bool(backlog.applied))
        assert await stopped.run(backlog.claim(4), 4) == 4
        return backlog

    backlog = asyncio.run(run())
    assert sorted(name for group in backlog.applied for name in group) == ["fast0", "fast1", "fast2", "fast3"]
    assert backlog.claims == [4]


def test_where_nothing_can_be_written_nothing_stays_under_way() -> None:
    async def run() -> tuple[list[str], set[asyncio.Task[object]]]:
        ended: list[str] = []

        async def act(row: Row) -> str:
            if row.id == "fast":
                return row.id
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(row.id)
            return row.id

        def refuse(done: Sequence[tuple[Row, str]]) -> None:
            raise ConnectionError([row.id for row, _ in done])

        backlog = Backlog(["fast", "slow"])
        with pytest.raises(ConnectionError, match="fast"):
            await Round(backlog.claim, act, refuse, lambda _: 1).run(backlog.claim(2), 2)
        return ended, asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(run()) == (["slow"], set())
