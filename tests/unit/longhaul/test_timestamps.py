"""Times in envelopes and documents."""

from datetime import UTC, datetime

from longhaul.timestamps import iso


def test_a_time_is_utc_to_the_millisecond():
    assert iso(0.0004) == "1970-01-01T00:00:00.000Z"
    assert iso(1_700_000_000.123) == "2023-11-14T22:13:20.123Z"


def test_a_time_can_be_read_back():
    assert datetime.fromisoformat(iso(1_700_000_000.5)) == datetime.fromtimestamp(1_700_000_000.5, UTC)
