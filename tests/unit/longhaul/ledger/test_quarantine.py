"""Counting, setting aside and putting back, on a real server with a clock that the tests set."""

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
def aside(due):
    return Quarantine(due)


def put(due, *ids):
    assert due.create([NewRecord(id_, "open", LANE, {}) for id_ in ids]) == [True] * len(ids)


def claim(due, lane=LANE, **options):
    return [
        (row.id, int(row.fields["fence"]))
        for row in due.claim(lane, limit=100, lease=LEASE, deadline=72 * HOUR, **options).rows
    ]


def count_crashes(aside, *claimed, counted="", words="why"):
    return [
        one.id
        for one in aside.count_crashes(LANE, CANCELLING, [Crash(id_, fence, words, counted) for id_, fence in claimed])
    ]


def quarantined(due, aside, clock, *ids):
    for _ in range(3):
        last = count_crashes(aside, *[one for one in claim(due) if one[0] in ids])
        clock.now += LEASE
    assert sorted(last) == sorted(ids)


def test_the_third_stumble_sets_aside_and_is_the_only_one_that_says_so(due, aside, clock):
    put(due, "a")
    said = []
    for _ in range(3):
        said.append(count_crashes(aside, *claim(due)))
        clock.now += 60
    assert said == [[], [], ["a"]]
    (one,) = aside.first(10)
    assert (one.id, one.since, one.origin, one.words) == ("a", START + 120, LANE, "why")
    assert claim(due) == []
    assert [(lane.name, lane.open) for lane in due.books().lanes if lane.open] == [("quarantine:a", 1)]


def test_the_words_are_bounded(due, aside, redis):
    put(due, "a")
    count_crashes(aside, *claim(due), words="x" * 5000)
    assert redis.hget("longhaul:{test}:record:a", "crash") == "x" * 200


def test_whoever_comes_too_late_counts_nothing(due, aside, clock):
    put(due, "a")
    former = claim(due)
    clock.now += LEASE
    present = claim(due)
    assert count_crashes(aside, *former) == []
    assert "crashes" not in due.get("a").fields
    count_crashes(aside, *present)
    count_crashes(aside, *present)
    assert due.get("a").fields["crashes"] == "1"


def test_a_writer_that_was_under_way_is_fenced_off(due, aside):
    put(due, "a")
    ((_, fence),) = claim(due)
    count_crashes(aside, ("a", fence))
    assert due.write([due.moving("a", fence, "busy", LANE, START)]) == ["stale"]


def test_what_has_ended_or_is_not_there_stays_so(due, aside):
    put(due, "a")
    ((_, fence),) = claim(due)
    assert due.write([due.finishing("a", fence, "done", keep=600)]) == ["finished"]
    before = due.get("a")
    assert count_crashes(aside, ("a", fence), ("b", 1)) == []
    assert due.get("a") == before
    assert due.get("b") is None


def test_a_record_that_was_cancelled_meanwhile_goes_on_to_be_cancelled(due, aside):
    put(due, "a")
    claimed = claim(due)
    due.cancel("a", CANCELLING)
    count_crashes(aside, *claimed)
    assert [id_ for id_, _ in claim(due, CANCELLING)] == ["a"]


def test_a_record_that_has_stumbled_is_under_nobodys_claim(due, aside):
    put(due, "a")
    count_crashes(aside, *claim(due))
    # With a claimant the cancellation would wait for him.
    due.cancel("a", CANCELLING)
    assert [id_ for id_, _ in claim(due, CANCELLING)] == ["a"]


def test_what_a_claim_has_counted_up_in_vain_is_taken_back(due, aside):
    put(due, "a", "b")
    claimed = claim(due, count="asked")
    count_crashes(aside, *claimed[:1], counted="asked")
    count_crashes(aside, *claimed[1:])
    assert (due.get("a").fields["asked"], due.get("b").fields["asked"]) == ("0", "1")


class TestBack:
    def test_each_id_is_answered(self, due, aside, clock):
        put(due, "a", "b")
        quarantined(due, aside, clock, "a")
        assert aside.retry(["a", "b", "c", "a"]) == [LANE, "not in quarantine", "missing", "not in quarantine"]
        assert sorted(id_ for id_, _ in claim(due)) == ["a", "b"]
        assert (aside.count(), aside.ids()) == (0, [])

    def test_it_is_due_now_and_has_three_tries_again(self, due, aside, clock):
        put(due, "a")
        quarantined(due, aside, clock, "a")
        aside.retry(["a"])
        for last in (False, False, True):
            assert count_crashes(aside, *claim(due)) == (["a"] if last else [])
            clock.now += 60

    def test_whoever_had_it_before_is_fenced_off(self, due, aside, clock):
        put(due, "a")
        quarantined(due, aside, clock, "a")
        fence = int(due.get("a").fields["fence"])
        aside.retry(["a"])
        assert due.write([due.moving("a", fence, "busy", LANE, START)]) == ["stale"]

    def test_none_is_nothing(self, aside):
        assert aside.retry([]) == []


def test_cancelling_takes_it_out_and_leaves_no_trace(due, aside, clock):
    put(due, "a")
    quarantined(due, aside, clock, "a")
    assert due.cancel("a", CANCELLING) == "marked"
    ((_, fence),) = claim(due, CANCELLING)
    assert not {"origin", "crashes", "crash"} & set(due.get("a").fields)
    assert aside.count() == 0
    assert due.write([due.finishing("a", fence, "done", keep=600)]) == ["finished"]


def test_those_that_have_waited_longest_come_first_of_all_accounts(due, aside, clock):
    put(due, "a", "b")
    quarantined(due, aside, clock, "b")
    clock.now += 10
    quarantined(due, aside, clock, "a")
    assert [one.id for one in aside.first(10)] == ["b", "a"]
    assert [one.id for one in aside.first(1)] == ["b"]
    assert (aside.count(), sorted(aside.ids())) == (2, ["a", "b"])


def test_many_are_put_back_in_one_go(due, aside, clock):
    ids = [f"{n:04d}" for n in range(1201)]
    put(due, *ids)
    for _ in range(3):
        while claimed := claim(due):
            count_crashes(aside, *claimed)
        clock.now += LEASE
    assert aside.count() == 1201
    assert aside.retry(aside.ids()) == [LANE] * 1201
    assert aside.count() == 0
