"""A worker's rounds: started for what is due, and their tokens given back in whatever way they end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from service.round_worker import RoundWorker


@dataclass(frozen=True, kw_only=True)
class Worker(RoundWorker):
    """A worker with two rounds to start."""

    left: list[tuple[str, str]] = field(default_factory=list)

    def dispatch(self) -> Iterable[tuple[str, str]]:
        return [("fetch", "a#1"), ("deliver", "b#2")]

    def leave(self, lane: str, token: str) -> None:
        self.left.append((lane, token))


def worker(started: list[tuple[str, str]] | None = None) -> Worker:
    rounds = [] if started is None else started
    return Worker(start=lambda lane, token: rounds.append((lane, token)), max_rounds=4)


def refuse(lane: str, token: str) -> None:
    raise ConnectionError(lane, token)


def test_waking_starts_what_there_is_work_for() -> None:
    started: list[tuple[str, str]] = []
    worker(started).wake()
    assert started == [("fetch", "a#1"), ("deliver", "b#2")]


def test_a_broker_that_is_away_is_an_error_of_waking_only_where_the_caller_wants_it() -> None:
    away = replace(worker(), start=refuse)
    with pytest.raises(ConnectionError):
        away.wake()
    away.wake_safely()


def test_a_round_gives_its_token_back() -> None:
    one = worker()
    assert one.run_round("fetch", "a#1", len) == 3
    assert one.left == [("fetch", "a#1")]


def test_a_round_that_breaks_gives_its_token_back_too() -> None:
    def broken(token: str) -> int:
        raise ArithmeticError(token)

    one = worker()
    with pytest.raises(ArithmeticError):
        one.run_round("fetch", "a#1", broken)
    assert one.left == [("fetch", "a#1")]


def test_a_process_that_is_to_stop_begins_no_round() -> None:
    begun: list[str] = []
    one = replace(worker(), stopping=lambda: True)
    assert one.run_round("fetch", "a#1", lambda token: begun.append(token) or 1) == 0
    assert (begun, one.left) == ([], [("fetch", "a#1")])
