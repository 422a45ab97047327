"""Records that cannot be read: something is in them that nobody of ours has written. Which fields, and what is left.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import Any

from longhaul.ledger.records import Row

LAST = 253_402_300_799
"""Epoch seconds: the end of the year 9999. No envelope can tell of a later time."""


class CorruptRecord(ValueError):
    """A record that cannot be read. The words name its fields, and quote nothing."""


def read_time(text: str) -> float:
    """Epoch seconds; raises `ValueError` for what is no time."""
    time = float(text)
    if not isfinite(time) or not 0 <= time <= LAST:
        raise ValueError("is no time")
    return time


def repair(row: Row, sound: Row, read: Callable[[Row], Any]) -> tuple[Row, list[str]]:
    """`row` with what `read` can't take replaced by what `sound` has there, or left out, and the names of those fields
    and blobs.
    """
    wrong = [
        name
        for name, text in row.fields.items()
        if not _reads(read, replace(sound, fields={**sound.fields, name: text}))
    ]
    wrong += [
        name for name, text in row.blobs.items() if not _reads(read, replace(sound, blobs={**sound.blobs, name: text}))
    ]
    missing = [name for name in sound.fields if name not in row.fields and not _reads(read, _without(sound, name))]
    fields = sound.fields | {name: text for name, text in row.fields.items() if name not in wrong}
    blobs = sound.blobs | {name: text for name, text in row.blobs.items() if name not in wrong}
    return Row(row.id, fields, blobs), wrong + missing


def _reads(read: Callable[[Row], Any], row: Row) -> bool:
    try:
        read(row)
    except Exception:  # noqa: BLE001  (whatever it is, it can't be read)
        return False
    return True


def _without(row: Row, name: str) -> Row:
    return replace(row, fields={other: text for other, text in row.fields.items() if other != name})
