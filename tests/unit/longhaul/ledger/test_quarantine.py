"""Crash counts, quarantine and retries, on a real server with a clock that the tests set."""

import pytest

from longhaul.ledger.due import Due, NewRecord
from longhaul.ledger.quarantine import Crash, Quarantine
from tests.builders import HOUR, START, Clock

TABLE = {"open": ["busy", "done"], "busy": ["open", "done"], "done": ()}
LANE, CANCELLING = "step:a", "cancelling:a"
LEASE = 100.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def due(redis, clock):
    return Due(redis, "longhaul:{test}", TABLE, clock=clock)


@pytest.fixture
def quarantine(due):
    return Quarantine(due)


def put(due, *ids):
    assert due.create([NewRecord(id_, "open", LANE, {}) for id_ in ids]) == [True] * len(ids)


def claim(due, lane=LANE, **options):
    return [
        (row.id, int(row.fields["fence"]))
        for row in due.claim(lane, limit=100, lease=LEASE, deadline=72 * HOUR, **options).rows
    ]


def count_crashes(quarantine, *claimed, counted="", words="why"):
    return [
        one.id
        for one in quarantine.count_crashes(
            LANE, CANCELLING, [Crash(id_, fence, words, counted) for id_, fence in claimed]
        )
    ]


def quarantined(due, quarantine, clock, *ids):
    for _ in range(3):
        last = count_crashes(quarantine, *[one for one in claim(due) if one[0] in ids])
        clock.now += LEASE
    assert sorted(last) == sorted(ids)


def test_the_third_crash_and_no_other_reports_the_quarantine(due, quarantine, clock):
    put(due, "a")
    reported = []
    for _ in range(3):
        reported.append(count_crashes(quarantine, *claim(due)))
        clock.now += 60
    assert reported == [[], [], ["a"]]
    (one,) = quarantine.first(10)
    assert (one.id, one.since, one.origin, one.words) == ("a", START + 120, LANE, "why")
    assert claim(due) == []
    assert [(lane.name, lane.open) for lane in due.books().lanes if lane.open] == [("quarantine:a", 1)]


def test_the_words_are_bounded(due, quarantine, redis):
    put(due, "a")
    count_crashes(quarantine, *claim(due), words="x" * 5000)
    assert redis.hget("longhaul:{test}:record:a", "crash") == "x" * 200


def test_a_late_worker_counts_no_crash(due, quarantine, clock):
    put(due, "a")
    former = claim(due)
    clock.now += LEASE
    present = claim(due)
    assert count_crashes(quarantine, *former) == []
    assert "crashes" not in due.get("a").fields
    count_crashes(quarantine, *present)
    count_crashes(quarantine, *present)
    assert due.get("a").fields["crashes"] == "1"


def test_a_writer_that_was_under_way_is_fenced_off(due, quarantine):
    put(due, "a")
    ((_, fence),) = claim(due)
    count_crashes(quarantine, ("a", fence))
    assert due.write([due.moving("a", fence, "busy", LANE, START)]) == ["stale"]


def test_what_has_ended_or_is_not_there_stays_so(due, quarantine):
    put(due, "a")
    ((_, fence),) = claim(due)
    assert due.write([due.finishing("a", fence, "done", keep=600)]) == ["finished"]
    before = due.get("a")
    assert count_crashes(quarantine, ("a", fence), ("b", 1)) == []
    assert due.get("a") == before
    assert due.get("b") is None


def test_a_record_that_was_cancelled_meanwhile_goes_on_to_be_cancelled(due, quarantine):
    put(due, "a")
    claimed = claim(due)
    due.cancel("a", CANCELLING)
    count_crashes(quarantine, *claimed)
    assert [id_ for id_, _ in claim(due, CANCELLING)] == ["a"]


def test_after_a_crash_a_record_has_no_claimant(due, quarantine):
    put(due, "a")
    count_crashes(quarantine, *claim(due))
    # With a claimant the cancellation would wait for its lease.
    due.cancel("a", CANCELLING)
    assert [id_ for id_, _ in claim(due, CANCELLING)] == ["a"]


def test_what_a_claim_has_counted_is_taken_back_after_a_crash(due, quarantine):
    put(due, "a", "b")
    claimed = claim(due, count="asked")
    count_crashes(quarantine, *claimed[:1], counted="asked")
    count_crashes(quarantine, *claimed[1:])
    assert (due.get("a").fields["asked"], due.get("b").fields["asked"]) == ("0", "1")


class TestRetry:
    def test_each_id_is_answered(self, due, quarantine, clock):
        put(due, "a", "b")
        quarantined(due, quarantine, clock, "a")
        assert quarantine.retry(["a", "b", "c", "a"]) == [LANE, "not in quarantine", "missing", "not in quarantine"]
        assert sorted(id_ for id_, _ in claim(due)) == ["a", "b"]
        assert (quarantine.count(), quarantine.ids()) == (0, [])

    def test_it_is_due_now_and_has_three_tries_again(self, due, quarantine, clock):
        put(due, "a")
        quarantined(due, quarantine, clock, "a")
        quarantine.retry(["a"])
        for last in (False, False, True):
            assert count_crashes(quarantine, *claim(due)) == (["a"] if last else [])
            clock.now += 60

    def test_a_former_claimant_is_fenced_off(self, due, quarantine, clock):
        put(due, "a")
        quarantined(due, quarantine, clock, "a")
        fence = int(due.get("a").fields["fence"])
        quarantine.retry(["a"])
        assert due.write([due.moving("a", fence, "busy", LANE, START)]) == ["stale"]

    def test_none_is_nothing(self, quarantine):
        assert quarantine.retry([]) == []


def test_cancelling_takes_it_out_and_leaves_no_trace(due, quarantine, clock):
    put(due, "a")
    quarantined(due, quarantine, clock, "a")
    assert due.cancel("a", CANCELLING) == "marked"
    ((_, fence),) = claim(due, CANCELLING)
    assert not {"origin", "crashes", "crash"} & set(due.get("a").fields)
    assert quarantine.count() == 0
    assert due.write([due.finishing("a", fence, "done", keep=600)]) == ["finished"]


def test_the_oldest_of_all_accounts_come_first(due, quarantine, clock):
    put(due, "a", "b")
    quarantined(due, quarantine, clock, "b")
    clock.now += 10
    quarantined(due, quarantine, clock, "a")
    assert [one.id for one in quarantine.first(10)] == ["b", "a"]
    assert [one.id for one in quarantine.first(1)] == ["b"]
    assert (quarantine.count(), sorted(quarantine.ids())) == (2, ["a", "b"])


def test_many_are_retried_in_one_call(due, quarantine, clock):
    ids = [f"{n:04d}" for n in range(1201)]
    put(due, *ids)
    for _ in range(3):
        while claimed := claim(due):
            count_crashes(quarantine, *claimed)
        clock.now += LEASE
    assert quarantine.count() == 1201
    assert quarantine.retry(quarantine.ids()) == [LANE] * 1201
    assert quarantine.count() == 0
