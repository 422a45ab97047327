"""The Crawler API: requests as documented, answers and events as closed types, whatever comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longhaul.scraperapi import crawl_protocol as protocol
from longhaul.scraperapi.crawl_models import CrawlProgress, CrawlRequest, NoEvent, PageEvent, SummaryEvent
from longhaul.scraperapi.models import (
    Accepted,
    AccountRefused,
    Cancelled,
    Malformed,
    NotFound,
    Rejected,
    RemoteTrouble,
    TargetResponse,
    Throttled,
    Unreachable,
)
from longhaul.scraperapi.protocol import HttpAnswer
from tests.flow.crawler import failed_page, page, summary

BASE = "https://crawler.test"


def answer(document, status=200, **headers):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpAnswer(status, headers, body)


def test_a_creation_says_what_the_caller_said_and_no_more():
    request = protocol.create(BASE, "key", CrawlRequest("https://x.test/", max_depth=1), "https://us.test/hook")
    assert (request.method, request.url) == ("POST", f"{BASE}/job")
    assert json.loads(request.body) == {
        "api_key": "key",
        "start_url": "https://x.test/",
        "url_regexp_include": ".*",
        "max_depth": 1,
        "callback": {"type": "webhook", "url": "https://us.test/hook"},
    }


def test_ids_are_quoted_and_no_key_stands_in_an_address():
    assert protocol.cancel(BASE, "a/b").url == f"{BASE}/job/a%2Fb"
    assert protocol.progress(BASE, "a b").url == f"{BASE}/job/a%20b/status"
    assert protocol.progress_elsewhere(BASE, "a").url == f"{BASE}/job/a"


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [
        (answer({"status": "initiated", "jobId": "r1"}), Accepted("r1")),
        (answer({"status": "initiated"}), Malformed("created without a jobId: {'status': 'initiated'}")),
        (answer({"jobId": "é"}), Malformed("created without a jobId: {'jobId': 'é'}")),
        (answer({"error": "url_regexp_include: bad"}, 400), Rejected("url_regexp_include: bad")),
        (
            answer(b"Upgrade to a paid plan to run deeper crawls", 403),
            Rejected("Upgrade to a paid plan to run deeper crawls"),
        ),
        (answer(b"max_depth cannot exceed 1", 403), Rejected("max_depth cannot exceed 1")),
        (answer(b"You have used up all your credits", 403), AccountRefused(403, "You have used up all your credits")),
        (answer(b"scheduling needs a key", 401), AccountRefused(401, "scheduling needs a key")),
        (answer(b"", 404), NotFound()),
        (answer(b"", 429, **{"Retry-After": "7"}), Throttled(7.0)),
        (answer(b"boom", 500), RemoteTrouble(500, "boom")),
        (Unreachable("refused"), Unreachable("refused")),
    ],
)
def test_what_an_answer_to_a_creation_shows(outcome, seen):
    assert protocol.read_created(outcome, 0.0) == seen


@pytest.mark.parametrize(
    ("document", "seen"),
    [
        ({"crawler_job_id": "r", "done": 52, "failed": 1, "active": 3}, CrawlProgress(52, 1, 3)),
        (
            {"done": 1, "failed": 0, "active": 0, "status": "in delivery", "jobCost": 10},
            CrawlProgress(1, 0, 0, "in delivery", 10),
        ),
        ({"done": 1, "failed": 0}, Malformed("no progress in it: {'done': 1, 'failed': 0}")),
        (
            {"done": -1, "failed": 0, "active": True},
            Malformed("no progress in it: {'done': -1, 'failed': 0, 'active': True}"),
        ),
        ([], Malformed("not an object: []")),
    ],
)
def test_what_a_look_at_the_progress_shows(document, seen):
    assert protocol.read_progress(answer(document), 0.0) == seen


def test_any_2xx_to_a_cancellation_means_that_it_crawls_no_more():
    assert protocol.read_cancelled(answer(b"whatever"), 0.0) == Cancelled()
    assert protocol.read_cancelled(answer(b"", 404), 0.0) == NotFound()


def test_a_page_is_read_with_all_that_it_says():
    read = protocol.read_event(page("r1", "https://x.test/a", 2, run=3, credits=25, attempts=4))
    response = TargetResponse(200, {"sa-statuscode": "200"}, body="body of https://x.test/a")
    assert read == PageEvent("r1", "https://x.test/a", depth=2, credits=25, attempts=4, run=3, response=response)


def test_a_failed_page_has_its_reason():
    read = protocol.read_event(failed_page("r1", "https://x.test/a"))
    assert isinstance(read, PageEvent)
    assert (read.response, read.reason, read.credits) == (None, "no such host", 0)


def test_what_a_page_cost_may_stand_in_its_headers_only():
    event = page("r1", "https://x.test/a")
    del event["credits"]
    event["response"]["headers"]["sa-credit-cost"] = "10"
    assert protocol.read_event(event).credits == 10


def test_a_number_that_no_ledger_can_count_on_with_is_none():
    read = protocol.read_event(page("r1", "https://x.test/a", credits=10**19, run=2**40))
    assert (read.credits, read.run) == (0, None)


def test_a_page_that_says_finished_and_has_no_response_is_a_failed_page_and_not_lost():
    event = page("r1", "https://x.test/a") | {"response": None}
    assert protocol.read_event(event).reason == "finished without a response"


@pytest.mark.parametrize("state", ["finished", "completed", "failed", "cancelled"])
def test_a_summary_is_counted(state):
    event = summary("r1", ["https://x.test/a", "https://x.test/b"], failed=1, state=state)
    assert protocol.read_event(event) == SummaryEvent("r1", state, cost=2, done=2, failed=1)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ([], "not an object"),
        ({"url": "https://x.test/"}, "no jobId in it"),
        ({"jobId": "r"}, "neither a page, which has a url, nor a summary, which has a jobState"),
        (
            {"jobId": "r", "url": "https://x.test/", "status": "running"},
            "a page whose status is 'running': it must be finished or failed",
        ),
        ({"jobId": "r", "jobState": "finished"}, "a summary without its lists of completed and failed pages"),
        *(
            (
                {"jobId": "r", "jobState": "finished"} | lists,
                "a summary without its lists of completed and failed pages",
            )
            # One list alone is not enough, whichever it is.
            for lists in (
                {"completed": []},
                {"failed": []},
                {"completed": [], "failed": 3},
                {"completed": {}, "failed": []},
            )
        ),
    ],
)
def test_what_is_no_event_is_said(event, words):
    assert protocol.read_event(event) == NoEvent(words)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = (
    "jobId",
    "url",
    "status",
    "credits",
    "attempts",
    "currentDepth",
    "currentCost",
    "response",
    "jobState",
    "jobCost",
    "completed",
    "failed",
    "run",
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(["finished", "failed", "r1"])))
def test_no_event_can_break_the_reader(document):
    assert isinstance(protocol.read_event(document), PageEvent | SummaryEvent | NoEvent)
