"""What a round knows of one run of a crawl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from longhaul.links.scope import Scope
from service.crawls.order import CrawlOrder
from service.faults.crawl_faults import DeliveryFaults, delivery_faults

MAX_KNOWN_LINKS = 50_000
"""Links that are remembered as written, so that the round writes each of them once."""


@dataclass(slots=True)
class CrawlRun:
    """The order, what follows from it, and the links that the round has written."""

    order: CrawlOrder
    scope: Scope
    delivery_faults: DeliveryFaults
    _written: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, order: CrawlOrder) -> CrawlRun:
        """The run of a crawl with this order."""
        return cls(order, order.scope(), delivery_faults(order.faults, webhook=order.callback is not None))

    def unwritten(self, links: Sequence[str]) -> list[str]:
        """Those of the links that this round has not written."""
        return [link for link in links if link not in self._written]

    def wrote(self, links: Sequence[str]) -> None:
        """Remember these links as written."""
        if len(self._written) > MAX_KNOWN_LINKS:
            self._written.clear()
        self._written.update(links)
