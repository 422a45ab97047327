import longhaul.work.retry_policies
from longhaul.work.backoff import doubling
from longhaul.work.retry_policies import OUTAGE_STATUS
from tests.builders import default_policies


def test_the_numbers_are_those_of_the_design():
    rules = default_policies()
    assert (rules.poll_first, rules.poll_growth, rules.poll_ceiling) == (2, 1.6, 600)
    assert (rules.deadline, rules.grace, rules.attempts) == (72 * 3600, 60, 10)
    assert (rules.account_first, rules.account_ceiling) == (30, 1800)


def test_all_attempts_together_take_about_25_minutes_as_the_page_says():
    rules = default_policies()
    pauses = [doubling(count, rules.retry_first, rules.retry_ceiling) for count in range(rules.attempts - 1)]
    assert 20 * 60 <= sum(pauses) <= 26 * 60


def test_the_longest_pause_is_a_small_part_of_the_24_guaranteed_hours():
    rules = default_policies()
    assert rules.poll_ceiling * (1 + rules.poll_jitter) <= 24 * 3600 / 100


def test_only_a_503_is_an_outage_for_behind_a_gateway_a_submission_may_have_been_taken():
    assert OUTAGE_STATUS == 503


def test_the_page_names_every_class_of_trouble():
    for name in (
        "not ready",
        "network",
        "broken off",
        "outage",
        "error",
        "malformed",
        "account",
        "rejected",
        "too large",
        "lost",
    ):
        assert f"| {name} |" in longhaul.work.retry_policies.__doc__
