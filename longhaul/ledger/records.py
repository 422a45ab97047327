"""What goes into the ledger and comes out of it, as frozen types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from longhaul.ledger.lua import Value

Fields = Mapping[str, Value]
Written = Literal["moved", "finished", "missing", "ended", "stale"]


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be: due at once in `lane`."""

    id: str
    state: str
    lane: str
    fields: Fields
    blobs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the ledger holds it: strings."""

    id: str
    fields: dict[str, str]
    blobs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim got: `now` is the ledger's time (epoch seconds), `pauses` how often in a row the lane was paused,
    `more` whether due work was left, `probe` whether the lane's pause is over and this is the one record that goes
    ahead.
    """

    now: float
    pauses: int
    more: bool
    rows: list[Row]
    probe: bool


@dataclass(frozen=True, slots=True)
class HighWater:
    """When a results queue is full, and what that means for polls of its records. Times in seconds; entries = 0: never
    full.
    """

    entries: int = 0
    bytes: int = 0
    queues: str = ""
    put_off: float = 30.0
    guaranteed: float = 24 * 3600.0
    headroom: float = 2 * 3600.0

    def arguments(self) -> dict[str, Any]:
        """The arguments of `claim.lua`."""
        return {
            "high_entries": self.entries,
            "high_bytes": self.bytes,
            "queues": self.queues,
            "put_off": self.put_off,
            "guaranteed": self.guaranteed,
            "headroom": self.headroom,
        }


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A value to store and to publish together with an end; `ttl` in seconds."""

    key: str
    value: str
    ttl: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane in the books. Times are epoch seconds of the ledger, None where there is nothing."""

    name: str
    open: int
    due: int
    oldest: float | None
    paused_until: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Books:
    """All counters and lanes of a space, seen at one moment."""

    now: float
    counts: dict[str, int]
    lanes: list[Lane]
