"""Versions of records: while processes are restarted one after the other, two versions of this code work on one ledger.

A record of an older version is brought up to date by whoever claims it. One of a newer version is left alone, and
looked at again when a lease has passed: a newer worker may have taken it by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from longhaul.ledger.records import Row

FIELD = "v"
FIRST = 1
"""The version of records that name none."""
MOST_SAID = 10_000

Migration = Callable[[Row], Row]

log = logging.getLogger(__name__)
said: set[str] = set()
"""Records of a newer version that this process has told of."""


class NewerRecord(ValueError):
    """A record that a newer version of this code has written."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The version of the records that this code writes. `migrations[n]`, which is pure, makes a record of version n one
    of version n + 1.
    """

    present: int = FIRST
    migrations: dict[int, Migration] = field(default_factory=dict)

    def read(self, row: Row) -> Row:
        """`row` in the present version; raises `NewerRecord`, and whatever a migration makes of a record that is
        broken.
        """
        version = int(row.fields.get(FIELD, FIRST))
        if version > self.present:
            raise NewerRecord(
                f"is of version {version}, written by a newer Longhaul: upgrade this one, which knows version {self.present}"
            )
        for older in range(version, self.present):
            row = self.migrations[older](row)
            row = replace(row, fields={**row.fields, FIELD: str(older + 1)})
        return row


def say_newer(space: str, ids: Sequence[str]) -> None:
    """Log each record of a newer version, once."""
    news = [id_ for id_ in ids if id_ not in said]
    if len(said) > MOST_SAID:
        said.clear()
    said.update(news)
    for id_ in news:
        log.warning(
            "record %s of %s was written by a newer Longhaul and is left to it: upgrade this worker", id_, space
        )
