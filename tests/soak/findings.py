"""What a run of the soak has shown, the limits that it must keep, and the judges. Pure; each fault is a sentence, none
is good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.notebooks import Note
from tests.chaos.workload import digest
from tests.soak.diary import mean, most_within
from tests.soak.gauges import Trend
from tests.soak.keywalk import Keys
from tests.soak.punctuality import Lateness, Order

MINUTE, MEGABYTE = 60.0, 2**20
STEEPEST = MEGABYTE / 4 / MINUTE
"""Bytes a second by which a process may grow."""
NOISE = 4 * MEGABYTE
"""Less than this is no growth, however steep: a short run has no more than a few samples."""
LATEST_P99 = 5.0
"""Seconds. Beat's tick, at which sleeping work is woken, comes each second."""
MORE_KEYS, MORE_BYTES, SMALL = 1.02, 1.1, 64 * 1024
"""Growth of a pattern between two walks that is none: hash tables double, and what is under way comes and goes."""
FEW_KEYS = 10
WINDOW = 10
LEAST_SECONDS = 5
"""A rush that is over before has had no time for a lull."""
LEAST_CORRELATION = 0.95
MOST_DISPLACED = 0.01


@dataclass(frozen=True, slots=True)
class Rush:
    """Requests second by second while overdue looks are caught up with. `before`: the mean a second until then.
    `seconds`: how long it took.
    """

    name: str
    before: float
    counts: list[int]
    seconds: float


@dataclass
class Findings:
    """`phases`: (name, seconds). `walks`: the first after the warm-up, and the last before the jobs end. `fields`: how
    often each value of the records' fields was met at the end.
    """

    jobs: int
    per_second: int
    phases: list[tuple[str, float]] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)
    lateness: dict[str, Lateness] = field(default_factory=dict)
    looks: dict[str, float] = field(default_factory=dict)
    rushes: list[Rush] = field(default_factory=list)
    order: Order | None = None
    walks: list[dict[str, Keys]] = field(default_factory=list)
    fields: dict[str, Counter[str]] = field(default_factory=dict)
    submitted: Counter[int] = field(default_factory=Counter)
    envelopes: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def judge_memory(trends: Sequence[Trend]) -> list[str]:
    """No process grows."""
    return [
        f"{one.name} grows by {one.slope * MINUTE / MEGABYTE:.2f} MB/min"
        for one in trends
        if one.slope > STEEPEST and one.growth > NOISE
    ]


def judge_lateness(name: str, lateness: Lateness) -> list[str]:
    """Looks come, and in time."""
    faults = []
    if not lateness.seconds:
        faults.append(f"{name}: no look was measured")
    if lateness.absent:
        faults.append(f"{name}: {lateness.absent} looks that were due did not come")
    if lateness.at(0.99) > LATEST_P99:
        faults.append(
            f"{name}: one look in a hundred is {lateness.at(0.99):.1f} s late or more, the limit is {LATEST_P99:g} s"
        )
    return faults


def bounds(per_second: int) -> tuple[int, int]:
    """The most requests in one second, and in ten on end, that a limit of so many a second allows: one second's worth
    is a burst.
    """
    return 2 * per_second, (WINDOW + 1) * per_second


def judge_rush(rush: Rush, per_second: int) -> list[str]:
    """No storm, and no lull either."""
    one, ten = bounds(per_second)
    faults = []
    if max(rush.counts, default=0) > one:
        faults.append(f"{rush.name}: {max(rush.counts)} requests in one second, the bound is {one}")
    if most_within(rush.counts, WINDOW) > ten:
        faults.append(f"{rush.name}: {most_within(rush.counts, WINDOW)} requests in {WINDOW} s, the bound is {ten}")
    if len(rush.counts) >= LEAST_SECONDS and mean(rush.counts) < rush.before:
        faults.append(f"{rush.name}: {mean(rush.counts):.0f} requests a second, but {rush.before:.0f} before")
    return faults


def judge_order(found: Order, overdue: int) -> list[str]:
    """Oldest first, but for what is under way at once."""
    faults = []
    if found.missing or found.count < overdue:
        faults.append(f"{found.count} of at least {overdue} overdue looks came, {found.missing} did not")
    if found.correlation < LEAST_CORRELATION or found.displaced > MOST_DISPLACED:
        faults.append(
            f"overdue looks do not come oldest first: correlation {found.correlation:.3f}, {found.displaced:.1%} out of place"
        )
    return faults


def judge_keys(before: Mapping[str, Keys], after: Mapping[str, Keys]) -> list[str]:
    """While the jobs wait nothing in the ledger grows."""
    faults = []
    for name, keys in sorted(after.items()):
        then = before.get(name, Keys())
        if keys.count > then.count * MORE_KEYS + FEW_KEYS:
            faults.append(f"keys {name}: {then.count} have become {keys.count}")
        if keys.size > then.size * MORE_BYTES + SMALL:
            faults.append(f"keys {name}: {then.size} bytes have become {keys.size}")
    return faults


def judge_records(fields: Mapping[str, Counter[str]], jobs: int, submitted: Mapping[int, int]) -> list[str]:
    """No attempt was burned, nothing lost, nothing submitted twice."""
    wanted = {"attempts": "0", "losses": "0", "submissions": "1", "state": "finished"}
    faults = [
        f"{count} records have {name} {value!r}, not {wanted[name]!r}"
        for name, values in fields.items()
        for value, count in sorted(values.items())
        if value != wanted[name]
    ]
    faults += [
        f"{values.total()} records with {name}, not {jobs}" for name, values in fields.items() if values.total() != jobs
    ]
    wrong = jobs - sum(submitted.get(number) == 1 for number in range(jobs))
    if wrong or len(submitted) != jobs:
        faults.append(f"{wrong} of {jobs} jobs were not submitted just once; {len(submitted)} were submitted")
    return faults


def judge_envelopes(notes: Mapping[str, Sequence[Note]], ids: Sequence[str]) -> list[str]:
    """One envelope for each job, `ids` by number, with its own body."""
    faults = []
    lost = [id_ for id_ in ids if not notes.get(id_)]
    doubled = [id_ for id_ in ids if len(notes.get(id_, ())) > 1]
    strange = notes.keys() - set(ids)
    for words, wrong in (("have no envelope", lost), ("have several", doubled), ("are nobody's", sorted(strange))):
        if wrong:
            faults.append(f"{len(wrong)} jobs {words}, {wrong[0]} among them")
    return faults + [
        f"{id_} has another end than it should have: {note}"
        for number, id_ in enumerate(ids)
        for note in notes.get(id_, ())
        if note["status"] != "finished" or note.get("digest") != digest(f"page {number}")
    ]
