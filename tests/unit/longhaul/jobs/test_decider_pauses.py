"""How long a job waits for its next poll or attempt, and for how long its account pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.jobs.decider import JobDecider
from longhaul.scraperapi.crawl_models import CrawlProgress
from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    Failed,
    Interrupted,
    Malformed,
    NotFound,
    NothingAsked,
    Rejected,
    RemoteTrouble,
    Running,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.work.decisions import Pause, Snooze, ends_pause
from tests.builders import HOUR, START, a_job, default_policies, finished

DECIDER = JobDecider(default_policies(poll_jitter=0))
LATER = START + 1000.0


class TestPauses:
    def test_an_account_is_probed_after_30_s_1_2_4_up_to_30_minutes(self):
        pauses = [DECIDER.after_poll(a_job(pauses=n), AccountRefused(401, ""), LATER).until - LATER for n in range(8)]
        assert pauses == [30, 60, 120, 240, 480, 960, 1800, 1800]

    def test_without_retry_after_the_pause_doubles_from_5_s_to_5_minutes(self):
        pauses = [DECIDER.after_poll(a_job(pauses=n), Throttled(None), LATER).until - LATER for n in range(8)]
        assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]

    @pytest.mark.parametrize(
        ("told", "kept"), [(0, 2), (1, 2), (7, 7), (3600, 3600), (10**9, 3600), (float("inf"), 3600)]
    )
    def test_retry_after_is_kept_within_bounds(self, told, kept):
        assert DECIDER.after_send(a_job(pauses=5), Throttled(told), LATER) == Pause(
            LATER + kept, "too many requests (HTTP 429)"
        )

    @pytest.mark.parametrize(
        ("seen", "ends"),
        [
            (Accepted("r"), True),
            (Running(), True),
            (finished(), True),
            (Failed("x"), True),
            (Cancelled(), True),
            (NotFound(), True),
            (Rejected("x"), True),
            (CrawlProgress(0, 0, 1), True),
            (AccountRefused(401, ""), False),
            (Throttled(1), False),
            (Unreachable(""), False),
            (Interrupted(""), False),
            (RemoteTrouble(500, ""), False),
            (Malformed(""), False),
            (TooLarge(1), False),
            (NothingAsked(), False),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_only_an_answer_that_proves_the_account_ends_its_pause(self, seen, ends):
        assert ends_pause(seen) is ends


class TestPolling:
    def test_the_pauses_are_2_then_3_2_then_5_12_up_to_600_when_every_poll_is_on_time(self):
        now, pauses = START, []
        decision = DECIDER.after_send(a_job(sent=None), Accepted("r"), now)
        while decision.due - now < 600:
            pauses.append(round(decision.due - now, 3))
            now = decision.due
            decision = DECIDER.after_poll(a_job(polls=len(pauses) - 1), Running(), now)
        assert pauses[:4] == [2, 3.2, 5.12, 8.192]
        assert len(pauses) == 13

    @given(st.integers(0, 1000), st.floats(0, 71 * HOUR))
    def test_jitter_is_at_most_a_fifth_and_no_result_waits_beyond_13_minutes_of_its_24_hours(self, polls, age):
        plain = DECIDER.after_poll(a_job(polls=polls), Running(), START + age).due - START - age
        pause = JobDecider(default_policies()).after_poll(a_job(polls=polls), Running(), START + age).due - START - age
        assert 0.799 * plain <= pause <= 1.201 * plain
        assert pause <= 720.001

    def test_a_resubmitted_job_begins_with_short_pauses_again(self):
        assert DECIDER.after_poll(a_job(sent=LATER, losses=1), Running(), LATER + 2) == Snooze(
            pytest.approx(LATER + 5.2), alive=True
        )

    def test_submissions_that_did_not_arrive_are_tried_again_within_a_minute(self):
        pauses = [
            DECIDER.after_send(a_job(), Unreachable(""), START + age).due - START - age
            for age in (0, 2, 5.2, 50, 10_000)
        ]
        assert pauses == pytest.approx([2, 3.2, 5.12, 32, 60])
