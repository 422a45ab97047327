"""Read records of the ledger. Of a corrupt one: which fields are wrong, and what is left without them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Generic, Protocol, TypeVar

from longhaul.ledger.records import Row
from longhaul.ledger.results import QUEUE_NAME
from longhaul.ledger.versions import NewerRecord, Versions
from longhaul.work.item import State, state_of

LAST_SECOND = 253_402_300_799
"""Epoch seconds: the end of the year 9999, the last time that ISO 8601 can write with four digits."""

T = TypeVar("T")


class CorruptRecord(ValueError):
    """A record that cannot be read. The words name its fields, and quote nothing."""


class SoundRow(Protocol):
    """Makes a row of the fields that a record must have and that can be read; `to_cancel`: of one that is cancelled."""

    def __call__(self, row: Row, state: State, created: str, *, to_cancel: bool) -> Row:
        """Sound fields in the place of those of `row`."""


@dataclass(frozen=True, slots=True)
class RecordReader(Generic[T]):
    """Reads the records of one family. `parse` makes an item of a row of the present version and raises anything where
    that is impossible.
    """

    parse: Callable[[Row, int], T]
    sound: SoundRow
    versions: Versions

    def read(self, row: Row, pauses: int = 0) -> T:
        """The item in `row`; raises `CorruptRecord`."""
        try:
            return self._parse(row, pauses)
        except NewerRecord as error:
            raise CorruptRecord(str(error)) from None
        except Exception:  # noqa: BLE001  (a record may hold anything)
            _, wrong = repair(row, self.sound(row, State.QUEUED, "0", to_cancel=False), self._parse)
        raise CorruptRecord(f"cannot be read: {', '.join(wrong) or 'its fields together'}")

    def repair_for_cancel(self, row: Row, pauses: int, now: float) -> T:
        """What is left of a corrupt record, enough to cancel it: a wrong field has the value of one that is missing."""
        sound = self.sound(row, state_of(row.fields), f"{now:.3f}", to_cancel=True)
        repaired, _ = repair(row, sound, self._parse)
        return self._parse(repaired, pauses)

    def _parse(self, row: Row, pauses: int = 0) -> T:
        return self.parse(self.versions.read(row), pauses)


def read_common_fields(row: Row, pauses: int) -> dict[str, Any]:
    """The fields that a job and a crawl share, but for account, meta and callback, as arguments of `Item`."""
    fields = row.fields
    sent = fields.get("sent")
    if not QUEUE_NAME.fullmatch(fields["queue"]):
        raise ValueError("is no queue")
    return {
        "id": row.id,
        "state": State(fields["state"]),
        "fence": int(fields.get("fence", 0)),
        "queue": fields["queue"],
        "created": read_time(fields["created"]),
        "tracked": "tracked" in fields,
        "remote_id": fields.get("remote") or None,
        "sent": read_time(sent) if sent else None,
        "polls": int(fields.get("polls", 0)),
        "attempts": int(fields.get("attempts", 0)),
        "submissions": int(fields.get("submissions", 0)),
        "cancelled": "cancel" in fields,
        "pauses": pauses,
    }


def refuse_surrogates(*texts: str) -> None:
    """Raise for text that was not UTF-8 in the ledger and was read as lone surrogates: no request could carry it."""
    for text in texts:
        text.encode()


def read_time(text: str) -> float:
    """Epoch seconds; raises `ValueError` for what is no time."""
    time = float(text)
    if not isfinite(time) or not 0 <= time <= LAST_SECOND:
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
