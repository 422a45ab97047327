from __future__ import annotations

import json

import pytest

from longhaul.errors import InvalidArgument
from longhaul.links.scope import Scope
from service.faults.crawl_faults import (
    DeliveryFaults,
    crawl_spec,
    delivery_faults,
    faulty_progress,
    outcome,
    page_of,
    site_for,
    summary_state,
)
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import Answered, Hopeless, Later

NOW = 1000.0


def met(url: str, spec: str, attempts: int = 1, now: float = NOW) -> object:
    return outcome(FetchRequest(url), spec, attempts, NOW, now)


def of_host(words: str, *, webhook: bool = True) -> DeliveryFaults:
    return delivery_faults(crawl_spec(f"http://{words}.fault.invalid/", None), webhook=webhook)


def test_other_crawls_are_left_alone() -> None:
    assert crawl_spec("http://example.com/", {"mine": 1}) == crawl_spec("http://example.com/", None) == ""
    assert delivery_faults("", webhook=True) == DeliveryFaults()
    assert summary_state("", webhook=True) == "due"
    assert met("http://get500-1.fault.invalid/", "get500-1") is not None
    assert met("http://example.com/", crawl_spec("http://example.com/", {"x-longhaul-fault": "lose-2"})) is None


@pytest.mark.parametrize("words", ["explode", "site-x"])
def test_an_unknown_word_is_refused(words: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^fault: "):
        crawl_spec("http://example.com/", {"x-longhaul-fault": words})


@pytest.mark.parametrize(("pages", "deepest"), [(1, 0), (2, 1), (11, 1), (12, 2), (200, 3)])
def test_a_made_up_site_is_what_a_walk_over_its_pages_finds(pages: int, deepest: int) -> None:
    start = f"http://site-{pages}.fault.invalid/"
    scope, depths, level = Scope.of(start, ".*"), {start: 0}, [start]
    while level:
        found = dict.fromkeys(link for url in level for link in scope.follow(page_of(url, pages)[1], url))
        following = [url for url in found if url not in depths]
        depths |= {url: max(depths[at] for at in level) + 1 for url in following}
        level = following
    assert depths == site_for(start)
    assert (len(depths), max(depths.values())) == (pages, deepest)


def test_a_made_up_site_has_no_other_pages() -> None:
    assert page_of("http://site-3.fault.invalid/p/3", 3)[0] == 404
    assert page_of("http://site-3.fault.invalid/else", 3)[0] == 404
    answer = met("http://site-3.fault.invalid/p/2", "site-3")
    assert isinstance(answer, Answered)
    assert answer.html == json.loads(answer.response)["body"] == page_of("http://site-3.fault.invalid/p/2", 3)[1]


def test_words_of_the_run_are_about_each_page() -> None:
    def meets(words: str, attempts: int = 1, now: float = NOW) -> object:
        return met(f"http://site-3.{words}.fault.invalid/", f"site-3 {words}", attempts, now)

    assert meets("slow-3") == Later(NOW + 3)
    assert isinstance(meets("slow-3", now=NOW + 3), Answered)
    assert isinstance(meets("fail"), Hopeless)
    assert [getattr(meets("flaky-1", attempts), "status", 0) for attempts in (1, 2)] == [503, 200]


def test_words_about_events() -> None:
    made = of_host("lose-3.late-2.duplicate.slowpush-4.push500-2")
    assert made == DeliveryFaults(late=2, lose=3, twice=True, slow=4, refused=2)
    assert made.delay_seconds("a") == 2
    shuffled = of_host("shuffle-5")
    delays = [shuffled.delay_seconds(f"http://a/{number}") for number in range(100)]
    assert delays != sorted(delays)
    assert 0 <= min(delays) < 1
    assert 4 < max(delays) <= 5
    assert of_host("summaryfirst").delay_seconds("a") > 10**6
    assert of_host("summaryfirst", webhook=False).delay_seconds("a") == 0


def test_words_about_the_summary() -> None:
    assert summary_state("nosummary", webhook=True) == ""
    assert summary_state("summaryfirst", webhook=True) == "first"
    assert summary_state("summaryfirst", webhook=False) == ""


def test_a_stuck_status_is_active_for_ever() -> None:
    document = {"status": "delivered", "active": 0, "done": 3}
    assert faulty_progress("", document) == document
    assert faulty_progress("stuck", document) == {"status": "running", "active": 1, "done": 3}
