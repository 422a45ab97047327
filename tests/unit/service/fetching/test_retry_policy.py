from __future__ import annotations

from itertools import pairwise

import pytest

from service.fetching.retry_policy import (
    TIMED_OUT,
    Answered,
    Attempt,
    Completed,
    GiveUp,
    Hopeless,
    Later,
    RetryAt,
    Trouble,
    decide,
    pause_seconds,
)

NOW = 1000.0
EARLY = Attempt(1, give_up_at=NOW + 3600)


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 410, 451])
def test_a_targets_answer_is_finished_whatever_its_status(status: int) -> None:
    assert decide(EARLY, Answered(status, "{}"), NOW) == Completed("{}")


@pytest.mark.parametrize("outcome", [Answered(429, ""), Answered(500, ""), Answered(503, ""), Trouble("reset")])
def test_trouble_is_tried_again_with_growing_pauses(outcome: Answered | Trouble) -> None:
    ats = []
    for attempts in range(1, 8):
        again = decide(Attempt(attempts, give_up_at=NOW + 3600), outcome, NOW)
        assert isinstance(again, RetryAt)
        assert not again.uncounted
        assert again.at is not None
        ats.append(again.at)
    assert ats[0] == NOW + 1
    assert all(earlier < later for earlier, later in pairwise(ats))


def test_pauses_have_a_ceiling_for_ever() -> None:
    assert pause_seconds(50) == pause_seconds(100_000) == 600


def test_the_last_attempt_is_made_when_the_time_is_over() -> None:
    last = Attempt(9, give_up_at=NOW + 2)
    again = decide(last, Trouble("reset"), NOW)
    assert isinstance(again, RetryAt)
    assert again.at == NOW + 2
    assert decide(last, Trouble("reset"), NOW + 2) == GiveUp(TIMED_OUT)
    assert decide(last, Answered(200, "{}"), NOW + 2) == Completed("{}")


def test_a_target_that_asks_for_a_pause_gets_it() -> None:
    again = decide(EARLY, Answered(429, "", retry_after=30), NOW)
    assert isinstance(again, RetryAt)
    assert again.at == NOW + 30


def test_retry_404_tries_again_and_ends_as_the_target_says() -> None:
    wish = Attempt(1, give_up_at=NOW + 10, retry_404=True)
    assert isinstance(decide(wish, Answered(404, "{}"), NOW), RetryAt)
    assert decide(wish, Answered(404, "{}"), NOW + 10) == Completed("{}")
    assert decide(wish, Answered(403, "{}"), NOW) == Completed("{}")


def test_what_cannot_work_fails_at_once() -> None:
    assert decide(EARLY, Hopeless("too long"), NOW) == GiveUp("too long")


def test_a_delay_by_the_dial_is_not_an_attempt() -> None:
    assert decide(EARLY, Later(None), NOW) == RetryAt(None, "delayed by the fault dial", uncounted=True)
