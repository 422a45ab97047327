"""The limits of an account on a real server: one bucket for all stores, batches counted, no step starved."""

import itertools
import random

import pytest

from longhaul.jobs.job import JobStep
from longhaul.ledger.lane_limit import UNLIMITED, LaneLimit
from longhaul.work.account_limits import NO_LIMIT, AccountLimit
from longhaul.work.decisions import Pause, Sent, Snooze
from tests.builders import START, Clock, a_store, a_submission

BUCKET = "longhaul:{jobs}:rate:default"


@pytest.fixture
def clock():
    return Clock()


def limited(redis, clock, batch_size=200, max_batches=32, **allowance):
    return a_store(
        redis, clock, batch_size=batch_size, max_batches=max_batches, accounts={"default": AccountLimit(**allowance)}
    )


def fill(store, count, account="default"):
    store.submit([(f"{account}-{n}", a_submission(account=account)) for n in range(count)], tracked=False)


def sent(store, count):
    """Jobs whose first look is due now."""
    fill(store, count)
    while jobs := store.claim(JobStep.SEND, "default").items:
        store.apply(JobStep.SEND, [(job, Sent(f"r-{job.id}", store.now())) for job in jobs], store.now())


def taken(store, step=JobStep.SEND, account="default"):
    return len(store.claim(step, account).items)


class TestRate:
    def test_a_burst_is_one_second_and_then_it_is_so_many_a_second(self, redis, clock):
        store = limited(redis, clock, per_second=20)
        fill(store, 100)
        assert [taken(store), taken(store)] == [20, 0]
        clock.now += 0.5
        assert [taken(store), taken(store)] == [10, 0]
        clock.now += 1000
        assert taken(store) == 20

    def test_what_the_bucket_cut_short_is_left_to_the_next_tick(self, redis, clock):
        store = limited(redis, clock, batch_size=15, per_second=20)
        fill(store, 100)
        assert [
            (len(claimed.items), claimed.more) for claimed in (store.claim(JobStep.SEND, "default") for _ in range(3))
        ] == [
            (15, True),
            (5, False),
            (0, False),
        ]

    def test_only_what_is_claimed_is_taken_out_of_the_bucket(self, redis, clock):
        store = limited(redis, clock, per_second=20)
        fill(store, 3)
        assert taken(store) == 3
        store.submit([(f"later-{n}", a_submission()) for n in range(30)], tracked=False)
        assert taken(store) == 17

    def test_two_stores_share_one_bucket_and_all_steps_do(self, redis, clock):
        one, two = limited(redis, clock, per_second=20), limited(redis, clock, per_second=20)
        sent(a_store(redis, clock), 30)
        assert taken(one, JobStep.POLL) == 20
        store_more = [(f"more-{n}", a_submission()) for n in range(30)]
        two.submit(store_more, tracked=False)
        assert taken(two, JobStep.SEND) == 0

    def test_other_accounts_are_not_limited(self, redis, clock):
        store = limited(redis, clock, per_second=5)
        fill(store, 50)
        fill(store, 50, "second")
        assert (taken(store), taken(store, account="second")) == (5, 50)
        assert not redis.exists("longhaul:{jobs}:rate:second")

    def test_a_clock_that_steps_back_neither_stops_the_requests_nor_gives_more(self, redis, clock):
        store = limited(redis, clock, per_second=20)
        fill(store, 500)
        assert taken(store) == 20
        clock.now -= 3600
        # Due by the former clock, so not yet by this one: what counts is the bucket.
        redis.zadd(
            "longhaul:{jobs}:due:send:default",
            dict.fromkeys(redis.zrange("longhaul:{jobs}:due:send:default", 0, -1), clock.now),
        )
        assert store.dispatch(JobStep.SEND) == []
        clock.now += 0.5
        assert len(store.dispatch(JobStep.SEND)) == 1
        assert taken(store) == 10
        clock.now -= 3600
        redis.zadd(
            "longhaul:{jobs}:due:send:default",
            dict.fromkeys(redis.zrange("longhaul:{jobs}:due:send:default", 0, -1), clock.now),
        )
        assert taken(store) == 0
        clock.now += 0.5
        assert taken(store) == 10

    def test_less_than_one_a_second(self, redis, clock):
        store = limited(redis, clock, per_second=0.1)
        fill(store, 10)
        counts = []
        for _ in range(31):
            counts.append(taken(store))
            clock.now += 1
        assert [at for at, count in enumerate(counts) if count] == [0, 10, 20, 30]
        assert set(counts) == {0, 1}

    def test_the_bucket_goes_when_it_is_of_no_use(self, redis, clock):
        store = limited(redis, clock, per_second=20)
        fill(store, 1)
        taken(store)
        assert 0 < redis.ttl(BUCKET) <= 61

    def test_the_probe_of_a_paused_account_waits_for_the_bucket_and_is_not_lost(self, redis, clock):
        store = limited(redis, clock, per_second=1)
        fill(store, 3)
        (job,) = store.claim(JobStep.SEND, "default").items
        store.apply(JobStep.SEND, [(job, Pause(START + 0.5, "HTTP 429"))], clock.now)
        clock.now += 0.6
        assert (store.claim(JobStep.SEND, "default").probe, taken(store)) == (False, 0)
        clock.now += 0.5
        assert store.claim(JobStep.SEND, "default").probe

    def test_a_paused_account_that_has_spent_its_rate_is_not_walked_through_again_and_again(self, redis, clock):
        store = limited(redis, clock, per_second=1)
        fill(store, 30)
        (job,) = store.claim(JobStep.SEND, "default").items
        store.apply(JobStep.SEND, [(job, Pause(START + 100, "HTTP 429"))], clock.now)
        assert store.claim(JobStep.SEND, "default").more is False


class TestShares:
    """20 a second; 1,000 jobs wait to be sent while 1,000 looks are due."""

    @pytest.fixture
    def store(self, redis, clock):
        sent(a_store(redis, clock), 1000)
        store = limited(redis, clock, per_second=20)
        store.submit([(f"new-{n}", a_submission()) for n in range(1000)], tracked=False)
        return store

    @pytest.mark.parametrize("order", list(itertools.permutations([JobStep.SEND, JobStep.POLL])))
    def test_neither_starves_and_nothing_is_left_unused(self, store, clock, order):
        counts = dict.fromkeys(order, 0)
        for _ in range(50):
            clock.now += 1
            for step in order:
                counts[step] += taken(store, step)
        assert sum(counts.values()) == 1000
        assert min(counts.values()) >= 300

    def test_what_the_others_do_not_need_is_taken(self, store, clock):
        store.cancel("new-1")
        total = 0
        for _ in range(10):
            clock.now += 1
            total += taken(store, JobStep.CANCEL) + taken(store, JobStep.SEND) + taken(store, JobStep.POLL)
        assert total == 200

    def test_a_step_that_is_paused_keeps_no_share(self, store, clock):
        (job, *_) = store.claim(JobStep.POLL, "default").items
        store.apply(JobStep.POLL, [(job, Pause(START + 1000, "HTTP 403"))], clock.now)
        clock.now += 1
        assert taken(store, JobStep.SEND) == 20

    def test_at_one_a_second_all_get_their_turn(self, redis, clock, store):  # noqa: ARG002  (it has made the work)
        slow = limited(redis, clock, per_second=1)
        redis.delete(BUCKET)
        counts = dict.fromkeys((JobStep.SEND, JobStep.POLL), 0)
        for _ in range(40):
            clock.now += 1
            for step in counts:
                counts[step] += taken(slow, step)
        assert sum(counts.values()) == 40
        assert min(counts.values()) >= 10


def test_with_ticks_a_second_apart_and_several_batches_the_rate_comes_out_and_is_never_exceeded(redis, clock):
    rate, seconds, draw = 20, 60, random.Random(4)  # noqa: S311  (a seed, not a secret)
    stores = [limited(redis, clock, batch_size=7, per_second=rate) for _ in range(3)]
    fill(stores[0], 3 * rate * seconds)
    asked = []
    for tick in range(seconds):
        clock.now = START + tick
        batches = [(step, token) for step in JobStep for _, token in stores[0].dispatch(step)]
        # As the messages reach the workers: some at once, some a little later.
        for at, (step, token) in enumerate(batches):
            clock.now = max(clock.now, START + tick + draw.uniform(0, 0.1))
            store, more = stores[at % 3], True
            while more:
                claimed = store.claim(step, "default", token)
                asked += [clock.now] * len(claimed.items)
                decision = Sent if step is JobStep.SEND else None
                store.apply(
                    step,
                    [
                        (job, decision(f"r-{job.id}", clock.now + 5) if decision else Snooze(clock.now + 5))
                        for job in claimed.items
                    ],
                    clock.now,
                )
                more = claimed.more
            store.leave(step, token)
    assert 0.9 * rate * seconds <= len(asked) <= rate * (seconds + 1)
    for width in (1, 2, 5, 20):
        most = max(sum(begin <= at < begin + width for at in asked) for begin in set(asked))
        assert most <= rate * (width + 1)


class TestOpen:
    def test_batches_are_made_so_that_no_more_are_open(self):
        lanes = ["send:a", "poll:a", "cancel:a"]

        def bounds(open_):
            limit = AccountLimit(open=open_).of_lane("send:a", "a", lanes, 200)
            return limit.size, limit.batches

        assert [bounds(open_) for open_ in (1, 100, 200, 201, 500, 1000)] == [
            (1, 1),
            (100, 1),
            (200, 1),
            (100, 2),
            (166, 3),
            (200, 5),
        ]
        assert AccountLimit(2.0).of_lane("send:a", "a", lanes, 200) == LaneLimit("a", 2.0, ("poll:a", "cancel:a"), 0, 0)
        assert NO_LIMIT.of_lane("send:a", "a", lanes, 200) == UNLIMITED

    def test_so_many_batches_are_started_and_so_many_records_claimed(self, redis, clock):
        store = limited(redis, clock, batch_size=200, open=250)
        fill(store, 1000)
        started = store.dispatch(JobStep.SEND)
        assert len(started) == 2
        assert [len(store.claim(JobStep.SEND, *batch).items) for batch in started] == [125, 125]
        assert store.dispatch(JobStep.SEND) == []

    def test_a_batch_beyond_the_bound_claims_nothing_and_does_not_spin(self, redis, clock):
        store = limited(redis, clock, batch_size=200, open=100)
        fill(store, 1000)
        first, second = store.token(JobStep.SEND, "default"), store.token(JobStep.SEND, "default")
        assert first != second
        assert len(store.claim(JobStep.SEND, "default", first).items) == 100
        late = store.claim(JobStep.SEND, "default", second)
        assert (late.items, late.more) == ([], False)
        # The batch that is at work may go on with its own.
        again = store.claim(JobStep.SEND, "default", first)
        assert (len(again.items), again.more) == (100, True)
        store.leave(JobStep.SEND, first)
        assert len(store.claim(JobStep.SEND, "default", second).items) == 100

    def test_steps_and_accounts_are_counted_apart(self, redis, clock):
        sent(a_store(redis, clock), 5)
        store = limited(redis, clock, open=1)
        store.submit([("new", a_submission()), ("other", a_submission(account="second"))], tracked=False)
        tokens = [store.token(step, "default") for step in (JobStep.POLL, JobStep.SEND)]
        assert len(store.claim(JobStep.POLL, "default", tokens[0]).items) == 1
        assert len(store.claim(JobStep.SEND, "default", tokens[1]).items) == 1
        assert store.token(JobStep.SEND, "second") == ""
        assert taken(store, account="second") == 1

    def test_a_lost_batch_makes_room_after_its_lease(self, redis, clock):
        store = limited(redis, clock, open=1)
        fill(store, 5)
        assert len(store.claim(JobStep.SEND, "default", store.token(JobStep.SEND, "default")).items) == 1
        assert store.dispatch(JobStep.SEND) == []
        clock.now += 121
        ((_, token),) = store.dispatch(JobStep.SEND)
        assert len(store.claim(JobStep.SEND, "default", token).items) == 1


def test_without_limits_no_bucket_is_kept_and_no_token_made(redis, clock):
    store = a_store(redis, clock)
    fill(store, 5)
    assert (store.token(JobStep.SEND, "default"), taken(store)) == ("", 5)
    assert not redis.exists(BUCKET)


def test_a_dispatcher_starts_no_batch_that_would_find_the_bucket_empty(redis, clock):
    store = limited(redis, clock, batch_size=10, per_second=20)
    fill(store, 1000)
    started = store.dispatch(JobStep.SEND)
    assert len(started) == 2
    for batch in started:
        store.claim(JobStep.SEND, *batch)
        store.leave(JobStep.SEND, batch[1])
    assert store.dispatch(JobStep.SEND) == []
    clock.now += 1
    assert len(store.dispatch(JobStep.SEND)) == 2
