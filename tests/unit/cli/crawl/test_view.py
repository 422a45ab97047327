import base64
from io import StringIO

import pytest
from rich.console import Console

from cli.crawl.view import figures, is_whole, length, pages_table, progress, short_page
from longhaul.crawls.crawl import Crawl, PageCounts
from longhaul.scraperapi.crawl_models import CrawlProgress, CrawlRequest
from longhaul.work.item import State

ENDED = {"status": "finished", "received": 57, "missing": 0, "credits": 59}
PAGE = {
    "id": "c.1",
    "kind": "page",
    "crawlId": "c",
    "status": "finished",
    "url": "http://x/",
    "depth": 1,
    "statusCode": 200,
    "credits": 1,
}


def crawl(**fields):
    request = CrawlRequest("http://x/", max_depth=2, crawl_budget=fields.pop("budget", None))
    return Crawl(
        id="c",
        state=State.RUNNING,
        fence=1,
        account="default",
        queue="results",
        request=request,
        meta=None,
        callback="http://r",
        created=0.0,
        **fields,
    )


def test_the_figures_are_one_line():
    assert figures(ENDED, 2, 6.34) == "crawl: 57 pages, 2 failed, 0 missing, 59 credits, 6.3 s"


def test_what_nobody_knows_is_not_in_the_figures():
    assert (
        figures({"status": "cancelled", "received": 1, "credits": 0}, 0, 1)
        == "crawl: 1 page, 0 failed, 0 credits, 1.0 s"
    )


@pytest.mark.parametrize(
    ("changed", "whole"),
    [({}, True), ({"missing": 2}, False), ({"status": "cancelled"}, False), ({"status": "expired"}, False)],
)
def test_only_a_finished_crawl_with_all_its_pages_is_whole(changed, whole):
    assert is_whole(ENDED | changed) is whole


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({"body": "aä"}, 3),
        ({"body": {"a": 1}}, 8),
        ({"body": ""}, 0),
        ({"base64EncodedBody": base64.b64encode(b"12345").decode()}, 5),
        ({"base64EncodedBody": base64.b64encode(b"1234").decode()}, 4),
        ({"base64EncodedBody": ""}, 0),
        ({}, None),
    ],
)
def test_bytes_are_those_of_the_target(body, size):
    assert length(body) == size


def test_a_shortened_page_has_no_body():
    short = short_page(PAGE | {"body": "x" * 1000, "headers": {"a": "b"}, "meta": {}, "remoteId": "r"})
    assert short == {
        "id": "c.1",
        "status": "finished",
        "depth": 1,
        "url": "http://x/",
        "statusCode": 200,
        "bytes": 1000,
        "credits": 1,
    }


def test_progress_says_what_is_known():
    assert progress(crawl(arrived=PageCounts(3, 1, 2)), 7.2) == "running: 3 arrived, 1 failed, 2 credits, 7 s"
    seen = crawl(budget=50, arrived=PageCounts(3, 1, 2), progress=CrawlProgress(2, 1, 4), cancelled=True)
    assert progress(seen, 7.2) == "being cancelled: 7 pages found, 3 arrived, 1 failed, 2 of 50 credits, 7 s"


def test_a_strangers_words_do_nothing_to_a_terminal():
    screen = StringIO()
    console = Console(file=screen, width=120)
    failed = {
        "id": "c.2",
        "status": "failed",
        "depth": 1,
        "url": "http://x/\x1b]0;owned\x07[red]",
        "failReason": "no\nanswer",
    }
    console.print(pages_table([failed]))
    assert "http://x/�]0;owned�[red] (no answer)" in screen.getvalue()
