import doctest
from statistics import pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

import longhaul.work.backoff
from longhaul.work.backoff import doubling, growing, jittered


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(longhaul.work.backoff) == doctest.TestResults(failed=0, attempted=2)


def test_the_pauses_of_a_job_polled_on_time_are_the_geometric_sequence_up_to_the_ceiling():
    age, pauses = 0.0, []
    while not pauses or pauses[-1] < 600:
        pauses.append(growing(age, 2, 1.6, 600))
        age += pauses[-1]
    assert pauses[:4] == pytest.approx([2, 3.2, 5.12, 8.192])
    assert pauses[:-1] == pytest.approx([2 * 1.6**n for n in range(len(pauses) - 1)])
    assert pauses[-1] == 600
    assert len(pauses) == 14


def test_an_age_before_the_beginning_counts_as_none():
    assert growing(-100, 2, 1.6, 600) == 2


@given(st.integers(0, 10**6))
def test_a_doubling_pause_is_never_above_its_ceiling_nor_below_its_first(count):
    assert 5 <= doubling(count, 5, 300) <= 300


@given(st.floats(0.001, 1e6), st.floats(0, 0.5), st.text())
def test_jitter_stays_within_its_share_and_is_the_same_for_the_same_key(pause, share, key):
    found = jittered(pause, share, key.encode("utf-8", "replace").decode())
    assert pause * (1 - share) * 0.999999 <= found <= pause * (1 + share) * 1.000001
    assert found == jittered(pause, share, key.encode("utf-8", "replace").decode())


def test_jitter_spreads_the_jobs_of_one_batch():
    pauses = [jittered(100, 0.2, f"job.{n}") for n in range(1000)]
    assert min(pauses) < 81
    assert max(pauses) > 119
    assert sum(pauses) / 1000 == pytest.approx(100, abs=2)


def test_jobs_that_are_sent_together_drift_apart_poll_by_poll_and_never_meet_again():
    # Independent pauses: after n of them the spread is that of one, times the root of n. By a checksum, which is
    # linear, all met at the fourth.
    ages = [0.0] * 1000
    for looks in range(1, 21):
        ages = [age + jittered(100, 0.2, f"job.{n}:{looks}") for n, age in enumerate(ages)]
        assert pstdev(ages) == pytest.approx(20 / 3**0.5 * looks**0.5, rel=0.15)
