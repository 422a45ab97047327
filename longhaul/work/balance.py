"""The books: every submitted job is open or has its one envelope. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from longhaul.ledger.due import Books
from longhaul.work.item import ENDS, State


@dataclass(frozen=True, slots=True)
class Balance:
    """submitted = open + envelopes, and open = what the due index holds. `faults`: sums that differ; empty:
    the books balance.
    """

    submitted: int
    states: dict[State, int]
    envelopes: int
    faults: list[str]

    @property
    def open(self) -> int:
        """Jobs whose envelope is still to come."""
        return sum(count for state, count in self.states.items() if state not in ENDS)


def balance(books: Books) -> Balance:
    """The balance of `books`."""
    states = {state: books.counts.get(state, 0) for state in State}
    submitted, envelopes = books.counts.get("submitted", 0), books.counts.get("envelopes", 0)
    ended = sum(states[state] for state in ENDS)
    indexed = sum(lane.open for lane in books.lanes)
    faults = []
    if submitted != sum(states.values()):
        faults.append(f"{submitted} submitted, but {sum(states.values())} in all states together")
    if ended != envelopes:
        faults.append(f"{ended} ended, but {envelopes} envelopes")
    if submitted - ended != indexed:
        faults.append(f"{submitted - ended} open, but {indexed} in the due index")
    return Balance(submitted, states, envelopes, faults)
