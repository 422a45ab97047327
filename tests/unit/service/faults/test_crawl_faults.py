from __future__ import annotations

import json

import pytest

from longhaul.errors import InvalidArgument
from longhaul.links.scope import Scope
from service.crawls.order import CrawlOrder
from service.faults import crawl_faults
from service.faults.crawl_faults import DeliveryFaults, delivery_faults, dialled, page_of, shown, site_for, summary_of
from service.fetching.retry_policy import Answered, Hopeless, Later
from service.jobs.submission import RunRequest

NOW = 1000.0


def order(start: str = "http://example.com/", **changes: object) -> CrawlOrder:
    given: dict[str, object] = {
        "max_depth": 9,
        "budget": None,
        "include": ".*",
        "exclude": "",
        "callback": "http://hook.test/",
    }
    return dialled(CrawlOrder(start_url=start, page=RunRequest(start), **(given | changes)))  # type: ignore[arg-type]


def test_other_crawls_are_left_alone() -> None:
    plain = order(additional={"mine": 1})
    assert (plain.faults, delivery_faults(plain), summary_of(plain)) == ("", DeliveryFaults(), "due")
    assert (
        crawl_faults.outcome(order("http://get500-1.fault.invalid/"), "http://get500-1.fault.invalid/", 1, NOW, NOW)
        is not None
    )
    real = order(additional={"x-longhaul-fault": "lose-2"})
    assert crawl_faults.outcome(real, real.start_url, 1, NOW, NOW) is None


@pytest.mark.parametrize("words", ["explode", "site-x"])
def test_an_unknown_word_is_refused(words: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^fault: "):
        order(additional={"x-longhaul-fault": words})


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
    answer = crawl_faults.outcome(order("http://site-3.fault.invalid/"), "http://site-3.fault.invalid/p/2", 1, NOW, NOW)
    assert isinstance(answer, Answered)
    assert answer.html == json.loads(answer.response)["body"] == page_of("http://site-3.fault.invalid/p/2", 3)[1]


def test_words_of_the_run_are_about_each_page() -> None:
    def meets(words: str, attempts: int = 1, now: float = NOW) -> object:
        made = order(f"http://site-3.{words}.fault.invalid/")
        return crawl_faults.outcome(made, made.start_url, attempts, NOW, now)

    assert meets("slow-3") == Later(NOW + 3)
    assert isinstance(meets("slow-3", now=NOW + 3), Answered)
    assert isinstance(meets("fail"), Hopeless)
    assert [getattr(meets("flaky-1", attempts), "status", 0) for attempts in (1, 2)] == [503, 200]


def test_words_about_events() -> None:
    made = delivery_faults(order("http://lose-3.late-2.duplicate.slowpush-4.push500-2.fault.invalid/"))
    assert made == DeliveryFaults(late=2, lose=3, twice=True, slow=4, refused=2)
    assert made.delay("a") == 2
    shuffled = delivery_faults(order("http://shuffle-5.fault.invalid/"))
    delays = [shuffled.delay(f"http://a/{number}") for number in range(100)]
    assert delays != sorted(delays)
    assert 0 <= min(delays) < 1
    assert 4 < max(delays) <= 5
    assert delivery_faults(order("http://summaryfirst.fault.invalid/")).delay("a") > 10**6
    assert order("http://nowebhook.fault.invalid/").callback is None


def test_words_about_the_summary() -> None:
    assert summary_of(order("http://nosummary.fault.invalid/")) == ""
    assert summary_of(order("http://summaryfirst.fault.invalid/")) == "first"
    assert summary_of(order("http://summaryfirst.fault.invalid/", callback=None)) == ""


def test_a_stuck_status_is_active_for_ever() -> None:
    document = {"status": "delivered", "active": 0, "done": 3}
    assert shown("", document) == document
    assert shown("stuck", document) == {"status": "running", "active": 1, "done": 3}
