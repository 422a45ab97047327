"""Who may ask which host now: one round's slots of the hosts that it has pages of. Knows no ledger; the frontier grants
the slots.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.crawls.frontier import FrontierPage, Grant


@dataclass(slots=True)
class HostSlots:
    """The slots of one host, and until when it wants no requests (epoch seconds)."""

    slots: int = 0
    backoff_until: float = 0.0
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def widen(self, slots: int) -> None:
        """There are so many slots now; fewer than before is for the ledger to sort out."""
        for _ in range(self.slots, slots):
            self.free.release()
        self.slots = max(self.slots, slots)


class HostSlotTable:
    """One gate for each host. `held`: how many pages of each the round has, as the frontier wants to know it."""

    def __init__(self) -> None:
        self._gates: dict[str, HostSlots] = {}
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> Mapping[str, int]:
        """Pages of each host that the round has; a host stays here until the frontier has taken its slots back."""
        return self._held

    def enter(self, pages: Iterable[FrontierPage], grants: Iterable[Grant]) -> None:
        """The frontier has given these pages and slots."""
        self._held.update(page.host for page in pages)
        for grant in grants:
            if grant.slots == 0 and not self._held[grant.host]:
                del self._held[grant.host]
                self._gates.pop(grant.host, None)
                continue
            gate = self.at(grant.host)
            gate.widen(grant.slots)
            gate.backoff_until = max(gate.backoff_until, grant.backoff_until)

    def leave(self, pages: Iterable[FrontierPage]) -> None:
        """These pages have an outcome, or were given back."""
        self._held.subtract(page.host for page in pages)

    def at(self, host: str) -> HostSlots:
        """The gate of this host."""
        return self._gates.setdefault(host, HostSlots())
