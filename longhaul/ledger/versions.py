"""Versions of records: while processes are restarted one after the other, two versions of this code work on one ledger.

A record of an older version is brought up to date by the worker that claims it. One of a newer version is left alone,
and tried again when a lease has passed: a newer worker may have taken it by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from longhaul.ledger.records import Row

FIELD = "v"
FIRST = 1
"""The version of records that name none."""
MOST_SAID = 10_000

Migration = Callable[[Row], Row]

log = logging.getLogger(__name__)
said: set[str] = set()
"""Records of a newer version that this process has logged."""


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
                f"is of version {version}, written by a newer Longhaul: "
                f"upgrade this one, which knows version {self.present}"
            )
        for older in range(version, self.present):
            row = self.migrations[older](row)
            row = replace(row, fields={**row.fields, FIELD: str(older + 1)})
        return row

    def migrate(self, rows: Sequence[Row]) -> tuple[list[Row], list[dict[str, Any]]]:
        """The rows in the present version, and for each that was older the arguments of `migrate.lua`. A row that can't
        be read stays as it is: its reader meets the error again.
        """
        present: list[Row] = []
        changes: list[dict[str, Any]] = []
        for row in rows:
            try:
                read = self.read(row)
            except Exception:  # noqa: BLE001  (a record may hold anything)
                read = row
            present.append(read)
            if read is not row:
                changes.append(_changes(row, read))
        return present, changes


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


def _changes(row: Row, read: Row) -> dict[str, Any]:
    changes: dict[str, Any] = {"id": row.id, "fence": row.fields.get("fence", "0")}
    for name, before, after in (("fields", row.fields, read.fields), ("blobs", row.blobs, read.blobs)):
        changes[name] = {key: text for key, text in after.items() if before.get(key) != text}
        changes[f"gone_{name}"] = [key for key in before if key not in after]
    return changes
