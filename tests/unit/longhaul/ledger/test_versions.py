"""Two versions of this code on one ledger, on a real server: the older leaves alone what the newer has written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis

from longhaul.ledger import versions
from longhaul.ledger.due import Due, NewRecord, Row
from longhaul.ledger.lane_limit import LaneLimit
from longhaul.ledger.versions import NewerRecord, Versions
from tests.builders import Clock

TABLE = {"open": ["done"], "done": ()}
SPACE = "longhaul:{test}"
LEASE = 100.0


def second(row: Row) -> Row:
    """Made up: `colour` is called `color` now, nobody wants `size` any more, and a text is in capitals."""
    fields = {name: text for name, text in row.fields.items() if name not in {"colour", "size"}}
    return replace(row, fields={**fields, "color": row.fields["colour"]}, blobs={"text": row.blobs["text"].upper()})


def third(row: Row) -> Row:
    """Made up: there is a shade, and no text."""
    return replace(row, fields={**row.fields, "shade": f"dark {row.fields['color']}"}, blobs={})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def older(redis: Redis, clock: Clock) -> Due:
    return Due(redis, SPACE, TABLE, blobs=("text",), clock=clock)


@pytest.fixture
def newer(redis: Redis, clock: Clock) -> Due:
    return Due(redis, SPACE, TABLE, blobs=("text",), clock=clock, versions=Versions(3, {1: second, 2: third}))


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    versions.said.clear()
    yield
    versions.said.clear()


def put(due: Due, *ids: str, **fields: str) -> None:
    due.create(
        [NewRecord(id_, "open", "lane", {"colour": "red", "size": "9", **fields}, {"text": "text"}) for id_ in ids]
    )


def claimed(due: Due, limit: int = 10, **options: object) -> list[Row]:
    return due.claim("lane", limit=limit, lease=LEASE, count="tries", **options).rows  # type: ignore[arg-type]


def as_it_is(redis: Redis, id_: str = "a") -> dict[str, str]:
    return {str(name): str(text) for name, text in redis.hgetall(f"{SPACE}:record:{id_}").items()}


def test_a_record_says_its_version_and_one_that_says_none_is_of_the_first(redis: Redis, older: Due, newer: Due) -> None:
    put(newer, "a")
    put(older, "b")
    assert (as_it_is(redis)["v"], as_it_is(redis, "b")["v"]) == ("3", "1")
    redis.hdel(f"{SPACE}:record:b", "v")
    assert [row.id for row in claimed(older)] == ["b"]


def test_a_newer_record_is_not_touched_and_waits_for_a_newer_worker(
    redis: Redis, older: Due, newer: Due, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    put(newer, "a")
    before = as_it_is(redis)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert claimed(older) == []
            assert as_it_is(redis) == before
            # Not before a lease has passed: it is out of the others' way.
            assert redis.zscore(f"{SPACE}:due:lane", "a") == clock.now + LEASE
            clock.now += LEASE
    assert [record.getMessage() for record in caplog.records] == [
        f"record a of {SPACE} was written by a newer Longhaul and is left to it: upgrade this worker"
    ]
    assert [row.id for row in claimed(newer)] == ["a"]


def test_a_newer_record_blocks_none_of_those_behind_it(older: Due, newer: Due, clock: Clock) -> None:
    put(newer, *(f"new-{at}" for at in range(30)))
    clock.now += 1
    put(older, "a", "b")
    # Ten times as many as it may have are read in one claim; and what is left alone is not counted as asked
    # for.
    allowed = LaneLimit("default", per_second=2.0)
    assert [[row.id for row in claimed(older, limit=2, allowed=allowed)] for _ in range(3)] == [[], ["a", "b"], []]


def test_an_older_record_is_brought_up_to_date_by_whoever_claims_it(
    redis: Redis, older: Due, newer: Due, clock: Clock
) -> None:
    put(older, "a")
    (row,) = claimed(newer)
    assert row.blobs == {}
    assert row.fields | {"lease": ""} == as_it_is(redis) | {"lease": ""}
    wanted = {
        "state": "open",
        "lane": "lane",
        "v": "3",
        "color": "red",
        "shade": "dark red",
        "tries": "1",
        "fence": "1",
    }
    assert {name: row.fields[name] for name in wanted} == wanted
    assert {"colour", "size"} & set(row.fields) == set()
    assert redis.get(f"{SPACE}:text:a") is None
    # Once it is, an older worker leaves it alone, and a newer one reads it as it is.
    clock.now += LEASE
    assert claimed(older) == []
    clock.now += LEASE
    assert claimed(newer)[0].fields["shade"] == "dark red"


def test_what_was_claimed_by_another_meanwhile_is_not_migrated(redis: Redis, older: Due, newer: Due) -> None:
    put(older, "a")
    (row,) = claimed(older)
    redis.hset(f"{SPACE}:record:a", "fence", 7)
    _, changes = newer._versions.migrate([row])
    assert newer.run([newer.calling("migrate", **change) for change in changes]) == [0]
    assert (as_it_is(redis)["v"], as_it_is(redis)["colour"]) == ("1", "red")


def test_a_record_that_no_migration_can_read_is_given_as_it_is(older: Due, newer: Due) -> None:
    put(older, "a", "b")
    older.redis.hdel(f"{SPACE}:record:a", "colour")
    assert {row.id: row.fields["v"] for row in claimed(newer)} == {"a": "1", "b": "3"}


def test_reading_is_pure_and_refuses_what_is_newer() -> None:
    known = Versions(2, {0: lambda row: replace(row, fields={**row.fields, "b": "c"}), 1: lambda row: row})
    present = Row("a", {"v": "2"}, {})
    assert known.read(present) is present
    oldest = Row("a", {"v": "0"}, {})
    assert known.read(oldest).fields == {"v": "2", "b": "c"}
    assert oldest.fields == {"v": "0"}
    with pytest.raises(
        NewerRecord, match=r"is of version 3, written by a newer Longhaul: upgrade this one, which knows version 2"
    ):
        known.read(Row("a", {"v": "3"}, {}))


def test_what_was_said_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    versions.say_newer("space", [str(at) for at in range(versions.MOST_SAID + 1)])
    versions.say_newer("space", ["once more"])
    assert len(versions.said) == 1
    assert len(caplog.records) == versions.MOST_SAID + 2
