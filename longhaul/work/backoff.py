"""How long to pause, as pure functions. Seconds in, seconds out; no random: jitter comes from the job's id."""

from __future__ import annotations

from hashlib import blake2b


def growing(age: float, first: float, growth: float, ceiling: float) -> float:
    """The pause for something that has been waited for `age` seconds.

    `first + (growth - 1) * age` is the geometric sequence without a counter: polled from age 0 on, the pauses are
    `first`, `first * growth`, `first * growth ** 2` and so on, and a job that was delayed in between goes on from its
    true age.

    >>> [round(growing(age, 2, 1.6, 600), 2) for age in (0, 2, 5.2, 10.32, 10_000)]
    [2.0, 3.2, 5.12, 8.19, 600]
    """
    return min(first + (growth - 1) * max(age, 0.0), ceiling)


def doubling(count: int, first: float, ceiling: float) -> float:
    """The pause after the `count`-th failure in a row, counted from 0.

    >>> [doubling(count, 5, 300) for count in (0, 1, 2, 10, 5000)]
    [5, 10, 20, 300, 300]
    """
    return min(first * (1 << min(count, 30)), ceiling)


def jittered(pause: float, share: float, key: str) -> float:
    """`pause` made longer or shorter by up to `share` of itself, always by the same amount for the same `key`."""
    # A hash and not a checksum: from one poll to the next a checksum changes all keys alike, and jobs that were sent
    # together would be polled together again.
    drawn = int.from_bytes(blake2b(key.encode(), digest_size=4).digest())
    return pause * (1 + share * (2 * drawn / 2**32 - 1))
