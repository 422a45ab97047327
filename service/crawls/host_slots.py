"""Which pages a round may fetch now: its slots of each host that it has pages of. Knows no ledger; the frontier grants
the slots.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.crawls.frontier import FrontierPage, SlotGrant


@dataclass(slots=True)
class HostSlots:
    """The slots of one host, and until when no page of it is fetched (epoch seconds)."""

    slots: int = 0
    backoff_until: float = 0.0
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def widen(self, slots: int) -> None:
        """Have so many slots from now on. Fewer than before are ignored: the ledger grants no more than there are."""
        for _ in range(self.slots, slots):
            self.free.release()
        self.slots = max(self.slots, slots)

    def back_off(self, until: float) -> None:
        """Fetch no page before `until` (epoch seconds)."""
        self.backoff_until = max(self.backoff_until, until)


class HostSlotTable:
    """The slots of all hosts that the round has pages of."""

    def __init__(self) -> None:
        self._hosts: dict[str, HostSlots] = {}
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> Mapping[str, int]:
        """How many pages of each host the round has. A host stays here until the frontier has taken its slots back."""
        return self._held

    def add(self, pages: Iterable[FrontierPage], grants: Iterable[SlotGrant]) -> None:
        """Enter claimed pages and granted slots."""
        self._held.update(page.host for page in pages)
        for grant in grants:
            if grant.slots == 0 and not self._held[grant.host]:
                del self._held[grant.host]
                self._hosts.pop(grant.host, None)
                continue
            slots = self.of(grant.host)
            slots.widen(grant.slots)
            slots.back_off(grant.backoff_until)

    def remove(self, pages: Iterable[FrontierPage]) -> None:
        """Remove pages that have an outcome, or were given back."""
        self._held.subtract(page.host for page in pages)

    def of(self, host: str) -> HostSlots:
        """The slots of this host."""
        return self._hosts.setdefault(host, HostSlots())
