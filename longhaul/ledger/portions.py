"""Writes of a size that goes through in one go, however big the bodies in them are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

PORTION_BYTES = 8 * 1024 * 1024
"""Most bytes of bodies in one write: more would hold up the ledger for everybody else, and lie twice in the writer's
memory.
"""

T = TypeVar("T")


def portions(items: Iterable[T], weigh: Callable[[T], int], limit: int = PORTION_BYTES) -> Iterator[list[T]]:
    """`items` in order, in lists of at most `limit` bytes together; `weigh` gives the bytes of one.

    An item that is heavier than `limit` has a list to itself. Lazy: `next(portions(...))` weighs no further than the
    first list needs.

    >>> list(portions([4, 3, 20, 5, 5], lambda size: size, 10))
    [[4, 3], [20], [5, 5]]
    """
    portion: list[T] = []
    weight = 0
    for item in items:
        size = weigh(item)
        if portion and weight + size > limit:
            yield portion
            portion, weight = [], 0
        portion.append(item)
        weight += size
    if portion:
        yield portion
