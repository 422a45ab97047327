"""What follows from what was seen of a crawl: the cases that need no ledger. `tests/flow/` has most of them."""

import ast
import inspect
from dataclasses import replace

import pytest

import longhaul.crawls.decider
from longhaul.crawls.crawl import Crawl, PageCounts
from longhaul.crawls.decider import Complete, CrawlDecider, EndRun, Expire, Fail, Polled
from longhaul.scraperapi.crawl_models import CrawlProgress, CrawlRequest, SummaryEvent
from longhaul.scraperapi.models import (
    AccountRefused,
    Cancelled,
    Interrupted,
    Malformed,
    NotFound,
    Rejected,
    RemoteTrouble,
    Throttled,
    TooLarge,
    Unreachable,
)
from longhaul.work.decisions import Cancel, Snooze
from longhaul.work.item import State
from tests.builders import START, default_policies

GRACE, WEEK, DAY = 600.0, 7 * 24 * 3600.0, 24 * 3600.0
DECIDER = CrawlDecider(default_policies(deadline=WEEK, poll_jitter=0.0), GRACE)
CRAWL = Crawl(
    id="crawl-1",
    state=State.RUNNING,
    fence=1,
    account="default",
    queue="results",
    request=CrawlRequest("https://example.com/"),
    meta=None,
    callback="https://us.test",
    created=START,
    remote_id="remote-1",
    sent=START,
)
RECURRING = replace(CRAWL, request=CrawlRequest("https://example.com/", interval="daily"))
TOLD = replace(CRAWL, summary=SummaryEvent("remote-1", "finished", 5, done=3, failed=1), summary_at=START)
TROUBLE = [
    RemoteTrouble(500, ""),
    RemoteTrouble(503, ""),
    Unreachable(""),
    Interrupted(""),
    Malformed(""),
    TooLarge(1),
    NotFound(),
]


def test_deciding_reaches_for_no_clock_no_random_and_no_network():
    tree = ast.parse(inspect.getsource(longhaul.crawls.decider))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    pure = {
        "longhaul.crawls.crawl",
        "longhaul.work.decisions",
        "longhaul.work.retry_policies",
        "longhaul.scraperapi.crawl_models",
        "longhaul.scraperapi.models",
    }
    assert modules == pure | {"__future__", "dataclasses", "math", "typing"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


@pytest.mark.parametrize(
    ("pages", "later", "ends"),
    [(3, 0.0, False), (4, 0.0, True), (5, 0.0, True), (0, GRACE - 1, False), (0, GRACE, True)],
)
def test_a_summary_ends_a_crawl_with_its_last_page_done_or_failed_or_with_the_grace_time(pages, later, ends):
    crawl = replace(TOLD, arrived=PageCounts(pages=pages))
    assert (DECIDER.after_event(crawl, START + later) is not None) is ends


def test_without_a_summary_no_event_is_an_end():
    assert DECIDER.after_event(replace(CRAWL, arrived=PageCounts(pages=9)), START + WEEK) is None


@pytest.mark.parametrize(
    ("state", "decision", "recurring"),
    [
        ("finished", Complete(), EndRun(START + 2)),
        ("completed", Complete(), EndRun(START + 2)),
        ("something new", Complete(), EndRun(START + 2)),
        ("failed", Fail("the remote says that the crawl has failed"), EndRun(START + 2)),
        ("cancelled", Cancel(), Cancel()),
    ],
)
def test_the_end_is_what_the_remote_says(state, decision, recurring):
    told = {"summary": SummaryEvent("remote-1", state, 0, 0, 0), "summary_at": START}
    assert DECIDER.after_event(replace(CRAWL, **told), START) == decision
    assert DECIDER.after_event(replace(RECURRING, **told), START) == recurring


@pytest.mark.parametrize("seen", TROUBLE, ids=repr)
def test_a_poll_that_fails_is_only_a_pause(seen):
    assert DECIDER.after_poll(CRAWL, seen, START + 10) == Snooze(START + 10 + 2 + 6)


def test_a_refused_poll_pauses_no_account_for_it_is_a_convenience():
    assert DECIDER.after_poll(CRAWL, AccountRefused(403, "no credits"), START + 10) == Snooze(START + 10 + 2 + 6)
    assert DECIDER.after_poll(CRAWL, Throttled(None), START + 10) == Snooze(START + 10 + 2 + 6)
    assert DECIDER.after_poll(CRAWL, Throttled(100.0), START + 10) == Snooze(START + 110)


@pytest.mark.parametrize(
    ("state", "over"), [("success", True), ("running", False), ("in delivery", False), ("delivered", True), ("", True)]
)
def test_a_word_that_nobody_knows_says_nothing(state, over):
    looked = DECIDER.after_poll(replace(CRAWL, arrived=PageCounts(pages=3)), CrawlProgress(3, 0, 0, state), START + 10)
    assert (looked.idle is not None) is over


REFUSED = [RemoteTrouble(503, ""), Unreachable(""), Interrupted(""), Rejected("405")]


@pytest.mark.parametrize("seen", REFUSED, ids=repr)
def test_a_cancellation_ends_when_the_remote_agrees_and_not_before(seen):
    assert isinstance(DECIDER.after_cancel(CRAWL, seen, START + DAY), Snooze)
    # What is not recurring has ended there after seven days, whatever it says.
    assert DECIDER.after_cancel(CRAWL, seen, START + WEEK) == Cancel()
    assert isinstance(DECIDER.after_cancel(RECURRING, seen, START + 100 * DAY), Snooze)
    for agreed in (Cancelled(), NotFound()):
        assert DECIDER.after_cancel(RECURRING, agreed, START + DAY) == Cancel()


def test_a_recurring_crawl_that_the_remote_does_not_know_any_more_is_over():
    lost = replace(RECURRING, arrived=PageCounts(pages=3), idle=START)
    why = "the remote does not know the crawl any more"
    assert DECIDER.after_poll(lost, NotFound(gone=True), START + GRACE) == Complete(why)


@pytest.mark.parametrize("seen", [*TROUBLE, CrawlProgress(5, 0, 3), CrawlProgress(5, 0, 0)], ids=repr)
def test_after_seven_days_any_poll_is_the_last_but_for_a_recurring_crawl(seen):
    assert DECIDER.after_poll(CRAWL, seen, START + WEEK) == Expire("not ended within 7 days")
    assert not isinstance(DECIDER.after_poll(RECURRING, seen, START + WEEK), Expire)


def test_a_recurring_crawl_of_years_is_polled_every_ten_minutes():
    later = START + 1000 * DAY
    assert DECIDER.after_poll(RECURRING, CrawlProgress(5, 0, 3), later) == Polled(
        later + 600, CrawlProgress(5, 0, 3), None
    )


def test_the_last_poll_before_the_deadline_comes_on_time():
    now = START + WEEK - 100
    assert DECIDER.after_poll(CRAWL, CrawlProgress(5, 0, 3), now) == Polled(START + WEEK, CrawlProgress(5, 0, 3), None)
