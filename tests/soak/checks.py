"""The result of a soak and its checks against limits. Pure; each violation is one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.journals import Entry
from tests.chaos.workload import digest
from tests.soak.key_stats import KeyStats
from tests.soak.lateness import Lateness, Order
from tests.soak.memory import Trend
from tests.soak.request_log import max_within, mean

MINUTE, MEGABYTE = 60.0, 2**20
MAX_SLOPE = MEGABYTE / 4 / MINUTE
"""Bytes per second by which a process may grow."""
MIN_GROWTH_BYTES = 4 * MEGABYTE
"""Less is noise, however steep: a short run has only a few samples."""
MAX_P99_SECONDS = 5.0
"""Beat ticks every second, and a tick starts the work that is due."""
MAX_KEYS_FACTOR, MAX_BYTES_FACTOR = 1.02, 1.1
"""Growth of a key pattern that is noise: hash tables double, and keys of work in flight come and go."""
MAX_MORE_KEYS, MAX_MORE_BYTES = 10, 64 * 1024
WINDOW_SECONDS = 10
MIN_SECONDS = 5
"""A shorter catch-up is too short to show a lull."""
MIN_CORRELATION = 0.95
MAX_DISPLACED = 0.01


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How overdue polls were caught up with. `before`: requests per second in the quiet phase before. `counts`:
    requests in each second. `seconds`: how long it took.
    """

    name: str
    before: float
    counts: list[int]
    seconds: float


@dataclass
class SoakResult:
    """What a soak has shown. `phases`: (name, seconds). `key_counts`: after the warm-up, and last before the jobs end.
    `fields`: how often each value of a field occurs in the records at the end.
    """

    jobs: int
    per_second: int
    phases: list[tuple[str, float]] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)
    lateness: dict[str, Lateness] = field(default_factory=dict)
    polls: dict[str, float] = field(default_factory=dict)
    catch_ups: list[CatchUp] = field(default_factory=list)
    order: Order | None = None
    key_counts: list[dict[str, KeyStats]] = field(default_factory=list)
    fields: dict[str, Counter[str]] = field(default_factory=dict)
    submitted: Counter[int] = field(default_factory=Counter)
    envelopes: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def check_memory(trends: Sequence[Trend]) -> list[str]:
    """The memory of no process grows."""
    return [
        f"{one.name} grows by {one.slope * MINUTE / MEGABYTE:.2f} MB/min"
        for one in trends
        if one.slope > MAX_SLOPE and one.growth > MIN_GROWTH_BYTES
    ]


def check_lateness(name: str, lateness: Lateness) -> list[str]:
    """Every poll arrives, and in time."""
    violations = []
    if not lateness.seconds:
        violations.append(f"{name}: no poll was measured")
    if lateness.absent:
        violations.append(f"{name}: {lateness.absent} polls that were due did not come")
    if lateness.quantile(0.99) > MAX_P99_SECONDS:
        violations.append(
            f"{name}: one poll in a hundred is {lateness.quantile(0.99):.1f} s late or more,"
            f" the limit is {MAX_P99_SECONDS:g} s"
        )
    return violations


def max_requests(per_second: int) -> tuple[int, int]:
    """The most requests that a rate limit allows in one second, and in ten: it allows a burst of one second's worth."""
    return 2 * per_second, (WINDOW_SECONDS + 1) * per_second


def check_catch_up(catch_up: CatchUp, per_second: int) -> list[str]:
    """Catching up exceeds no limit, and is not slower than the quiet phase."""
    one, ten = max_requests(per_second)
    violations = []
    if max(catch_up.counts, default=0) > one:
        violations.append(f"{catch_up.name}: {max(catch_up.counts)} requests in one second, the bound is {one}")
    most = max_within(catch_up.counts, WINDOW_SECONDS)
    if most > ten:
        violations.append(f"{catch_up.name}: {most} requests in {WINDOW_SECONDS} s, the bound is {ten}")
    if len(catch_up.counts) >= MIN_SECONDS and mean(catch_up.counts) < catch_up.before:
        violations.append(
            f"{catch_up.name}: {mean(catch_up.counts):.0f} requests a second, but {catch_up.before:.0f} before"
        )
    return violations


def check_order(order: Order, overdue: int) -> list[str]:
    """The oldest polls come first, apart from what is in flight at once."""
    violations = []
    if order.missing or order.count < overdue:
        violations.append(f"{order.count} of at least {overdue} overdue polls came, {order.missing} did not")
    if order.correlation < MIN_CORRELATION or order.displaced > MAX_DISPLACED:
        violations.append(
            f"overdue polls do not come oldest first: correlation {order.correlation:.3f},"
            f" {order.displaced:.1%} out of place"
        )
    return violations


def check_keys(before: Mapping[str, KeyStats], after: Mapping[str, KeyStats]) -> list[str]:
    """Nothing in the ledger grows while the jobs wait."""
    violations = []
    for name, keys in sorted(after.items()):
        then = before.get(name, KeyStats())
        if keys.count > then.count * MAX_KEYS_FACTOR + MAX_MORE_KEYS:
            violations.append(f"keys {name}: {then.count} have become {keys.count}")
        if keys.size > then.size * MAX_BYTES_FACTOR + MAX_MORE_BYTES:
            violations.append(f"keys {name}: {then.size} bytes have become {keys.size}")
    return violations


def check_records(fields: Mapping[str, Counter[str]], jobs: int, submitted: Mapping[int, int]) -> list[str]:
    """No job has used an attempt, lost its result or was submitted twice."""
    wanted = {"attempts": "0", "losses": "0", "submissions": "1", "state": "finished"}
    violations = [
        f"{count} records have {name} {value!r}, not {wanted[name]!r}"
        for name, values in fields.items()
        for value, count in sorted(values.items())
        if value != wanted[name]
    ]
    violations += [
        f"{values.total()} records with {name}, not {jobs}" for name, values in fields.items() if values.total() != jobs
    ]
    wrong = jobs - sum(submitted.get(number) == 1 for number in range(jobs))
    if wrong or len(submitted) != jobs:
        violations.append(f"{wrong} of {jobs} jobs were not submitted just once; {len(submitted)} were submitted")
    return violations


def check_envelopes(journals: Mapping[str, Sequence[Entry]], ids: Sequence[str]) -> list[str]:
    """Each job has one envelope, with its own body. `ids` are in the order of the jobs' numbers."""
    violations = []
    lost = [id_ for id_ in ids if not journals.get(id_)]
    duplicated = [id_ for id_ in ids if len(journals.get(id_, ())) > 1]
    unknown = journals.keys() - set(ids)
    for words, wrong in (("have no envelope", lost), ("have several", duplicated), ("were not sent", sorted(unknown))):
        if wrong:
            violations.append(f"{len(wrong)} jobs {words}, {wrong[0]} among them")
    return violations + [
        f"{id_} has a wrong envelope: {entry}"
        for number, id_ in enumerate(ids)
        for entry in journals.get(id_, ())
        if entry["status"] != "finished" or entry.get("digest") != digest(f"page {number}")
    ]
