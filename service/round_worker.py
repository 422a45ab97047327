"""What the workers for jobs and for crawls have in common: starting rounds, and running one. Knows no Celery.

A *round* is one Celery task: it claims due items of one lane and works them off until none is left or its time is over.
Its *token* counts it among the rounds of its lane, in all processes, until it leaves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class RoundWorker(ABC):
    """Starts and runs the rounds of some lanes. `start(lane, token)` sends the message that starts a round in some
    process; `max_rounds`: rounds of one lane at once, in all processes; `stopping`: whether this process is to stop.
    """

    start: Callable[[str, str], None]
    max_rounds: int
    stopping: Callable[[], bool] = lambda: False

    @abstractmethod
    def dispatch(self) -> Iterable[tuple[str, str]]:
        """Lane and token of each round to start now: as many as there is due work and room for."""

    @abstractmethod
    def leave(self, lane: str, token: str) -> None:
        """Give the token of a round back."""

    def wake(self) -> None:
        """Start as many rounds as there is due work and room for. Repeating it changes nothing."""
        for lane, token in self.dispatch():
            self.start(lane, token)

    def wake_safely(self) -> None:
        """Like `wake`, but log an error instead of raising it: a broker that is away must not end a round, and the
        ticker wakes the workers as well.
        """
        try:
            self.wake()
        except Exception as error:  # noqa: BLE001  (whatever the broker's client raises)
            log.warning("could not wake the workers", error=f"{type(error).__name__}: {error}")

    def run_round(self, lane: str, token: str, work: Callable[[str], int]) -> int:
        """Run `work(token)`, which returns how many items it has worked off, and give the token back in the end. A
        process that is to stop begins no round.
        """
        count = 0
        try:
            if not self.stopping():
                count = work(token)
        finally:
            self.leave(lane, token)
        if count:
            log.info("round finished", lane=lane, items=count)
        return count
