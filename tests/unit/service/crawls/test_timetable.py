from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.crawls.timetable import next_run


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("interval", "created", "after", "following"),
    [
        ("hourly", "2026-01-01T10:20:30", "2026-01-01T10:20:30", "2026-01-01T11:20:30"),
        ("hourly", "2026-01-01T10:20:30", "2026-01-01T11:20:30", "2026-01-01T12:20:30"),
        ("hourly", "2026-01-01T10:20:30", "2026-01-01T13:00:00", "2026-01-01T13:20:30"),
        ("daily", "2026-02-28T23:00:00", "2026-02-28T23:00:00", "2026-03-01T23:00:00"),
        ("weekly", "2026-01-01T10:00:00", "2026-01-20T10:00:00", "2026-01-22T10:00:00"),
        ("monthly", "2026-01-31T10:00:00", "2026-01-31T10:00:00", "2026-02-28T10:00:00"),
        ("monthly", "2026-01-31T10:00:00", "2026-02-28T10:00:00", "2026-03-31T10:00:00"),
        ("monthly", "2028-01-31T10:00:00", "2028-02-01T00:00:00", "2028-02-29T10:00:00"),
        ("monthly", "2026-12-15T10:00:00", "2026-12-15T10:00:01", "2027-01-15T10:00:00"),
        ("monthly", "2026-01-10T10:00:00", "2026-06-10T09:59:59", "2026-06-10T10:00:00"),
    ],
)
def test_it_is_counted_from_the_creation(interval: str, created: str, after: str, following: str) -> None:
    assert next_run(epoch(created), interval, epoch(after)) == epoch(following)


def test_once_does_not_recur() -> None:
    assert next_run(0.0, "once", 0.0) is None


@given(
    created=st.floats(1.7e9, 2e9).map(lambda time: round(time, 3)),
    passed=st.floats(0, 1e8).map(lambda time: round(time, 3)),
    interval=st.sampled_from(["hourly", "daily", "weekly", "monthly"]),
)
def test_it_is_always_later_and_never_further_away_than_its_interval(
    created: float, passed: float, interval: str
) -> None:
    longest = {"hourly": 3600, "daily": 86400, "weekly": 7 * 86400, "monthly": 31 * 86400}[interval]
    time = next_run(created, interval, created + passed)
    assert time is not None
    assert 0 < time - (created + passed) <= longest + 0.001
