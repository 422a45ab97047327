"""What an account may ask of the remote, by its own settings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from longhaul.ledger.lane_limit import UNLIMITED, LaneLimit


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """`per_second`: requests of all steps together; `open`: most requests of one step at once, in all workers. 0: no
    limit.
    """

    per_second: float = 0.0
    open: int = 0

    def of_lane(self, lane: str, account: str, lanes: Iterable[str], batch: int) -> LaneLimit:
        """The limit of `lane`, one of the account's `lanes`, where a batch has up to `batch` records.

        >>> AccountLimit(open=500).of_lane("send:a", "a", ["send:a"], 200).size
        166
        """
        if self == NO_LIMIT:
            return UNLIMITED
        batches = ceil(self.open / batch)
        size = self.open // batches if batches else 0
        return LaneLimit(account, self.per_second, tuple(one for one in lanes if one != lane), size, batches)


NO_LIMIT = AccountLimit()
