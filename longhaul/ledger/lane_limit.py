"""What one lane may ask of the remote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LaneLimit:
    """`per_second`: requests, shared by all lanes that give this `name`: this one and its `rivals`. A bucket holds one
    second's worth.

    `size`: most records of one batch; `batches`: most batches of the lane at once, in all processes. Zero anywhere: no
    limit.
    """

    name: str = ""
    per_second: float = 0.0
    rivals: tuple[str, ...] = ()
    size: int = 0
    batches: int = 0

    def size_of(self, batch: int) -> int:
        """How many records a batch of up to `batch` may have."""
        return min(batch, self.size) if self.size else batch

    def arguments(self) -> dict[str, Any]:
        """The arguments of the scripts that keep to it."""
        return {
            "per_second": self.per_second,
            "batches": self.batches,
            "account": self.name,
            "rivals": self.rivals,
        }


UNLIMITED = LaneLimit()
