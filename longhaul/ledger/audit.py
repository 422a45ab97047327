"""A walk over every record and every lane of a space, in small steps beside the running system, that names what is
wrong by its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from longhaul.ledger.due import Due

CHUNK = 500
"""Records that are read in one step: a millisecond or two of the server's time."""
MOST_SUSPECTS = 100_000


@dataclass(slots=True)
class Audit:
    """`checked`: records that were read. `faults`: what is wrong with each id. `counters`: what is wrong with the
    counters of states; they are compared with the records only where nothing has moved meanwhile, which `quiet` says.
    """

    checked: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    counters: list[str] = field(default_factory=list)
    quiet: bool = False


def audit(due: Due, open_states: Sequence[str]) -> Audit:
    """Check everything; `open_states` are those that can be left.

    Whatever seems wrong is checked once more, and named only if it is still wrong in the same way.
    """
    found = Audit()
    suspects: dict[str, str] = {}
    for ids in _chunks(_recorded(due)):
        found.checked += len(ids)
        _add(suspects, _wrong(due, ids))
    _, without = _indexed(due)
    _add(suspects, _wrong(due, without))
    for ids in _chunks(iter(suspects)):
        found.faults |= {id_: words for id_, words in _wrong(due, ids).items() if suspects[id_] == words}
    found.counters, found.quiet = _counters(due, open_states)
    if found.counters:
        again, _ = _counters(due, open_states)
        found.counters = [words for words in found.counters if words in again]
    return found


def _counters(due: Due, open_states: Sequence[str]) -> tuple[list[str], bool]:
    before = due.books()
    states, _ = _indexed(due)
    after = due.books()
    if before.counts != after.counts:
        return [], False
    names = [name for name in open_states if states[name] != after.counts.get(name, 0)]
    return [
        f"{after.counts.get(name, 0)} {name}, but {states[name]} such records in the due index" for name in names
    ], True


def _recorded(due: Due) -> Iterator[str]:
    prefix = f"{due.space}:record:"
    for key in due.redis.scan_iter(match=f"{prefix}*", count=CHUNK):
        yield str(key).removeprefix(prefix)


def _indexed(due: Due) -> tuple[Counter[str], list[str]]:
    """How many records in the lanes are in each state, and the ids that have no record."""
    states: Counter[str] = Counter()
    without: list[str] = []
    for lane in due.lanes():
        at = 0
        while ids := due.redis.zrange(f"{due.space}:due:{lane}", at, at + CHUNK - 1):
            at += len(ids)
            pipe = due.redis.pipeline(transaction=False)
            for id_ in ids:
                pipe.hget(_written(f"{due.space}:record:{id_!s}"), "state")
            for id_, state in zip(ids, pipe.execute(raise_on_error=False), strict=True):
                states[str(state)] += 1
                if not isinstance(state, str) and len(without) < MOST_SUSPECTS:
                    without.append(str(id_))
    return states, without


def _wrong(due: Due, ids: list[str]) -> dict[str, str]:
    answer: dict[str, str] = {}
    for chunk in _chunks(iter(ids)):
        calls = [due.calling("audit", ids=[_written(id_) for id_ in chunk])]
        answer |= {str(id_): str(words) for found in due.run(calls) for id_, words in found}
    return answer


def _add(suspects: dict[str, str], wrong: dict[str, str]) -> None:
    for id_, words in wrong.items():
        if len(suspects) < MOST_SUSPECTS:
            suspects[id_] = words


def _chunks(ids: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(ids, CHUNK)):
        yield chunk


def _written(text: str) -> bytes:
    # What is no UTF-8 in the ledger is read as lone surrogates; its bytes are what it is known by.
    return text.encode(errors="surrogateescape")
