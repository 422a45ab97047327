"""What `crawls.create` takes, and what it says of what it does not."""

import pytest

from longhaul.crawls.arguments import CrawlIntakeRules, NewCrawl, read_new_crawl
from longhaul.errors import InvalidArgument
from longhaul.scraperapi.crawl_models import CrawlRequest
from longhaul.work.arguments import IntakeRules

SITE = "https://example.com/"
TERMS = CrawlIntakeRules(
    IntakeRules(("default", "second"), "https://us.test", secret=True), max_depth=100, max_budget=1000
)


def test_a_start_page_and_one_bound_are_enough():
    assert read_new_crawl({"start_url": SITE, "max_depth": 0}, TERMS) == NewCrawl(
        CrawlRequest(SITE, max_depth=0), "https://us.test"
    )
    assert read_new_crawl({"start_url": SITE, "crawl_budget": 1}, TERMS).request == CrawlRequest(SITE, crawl_budget=1)


def test_everything_that_can_be_said():
    order = read_new_crawl(
        {
            "start_url": SITE,
            "max_depth": 5,
            "crawl_budget": 50,
            "url_regexp_include": r"(?<full_url>https://example\.com/.*)",
            "url_regexp_exclude": ".*/product/.*",
            "api_params": {"country_code": "us"},
            "enabled": False,
            "schedule": {"name": "shop", "interval": "weekly"},
            "callback": "https://elsewhere.test/hooks/",
            "queue": "pages",
            "account": "second",
            "meta": {"n": 1},
        },
        TERMS,
    )
    request = CrawlRequest(
        *(SITE, 5, 50, r"(?<full_url>https://example\.com/.*)", ".*/product/.*", {"country_code": "us"}),
        enabled=False,
        interval="weekly",
        name="shop",
    )
    assert order == NewCrawl(request, "https://elsewhere.test/hooks", {"n": 1}, "pages", "second")
    assert request.recurring


@pytest.mark.parametrize(
    ("schedule", "recurring"),
    [(None, False), ({"interval": "once"}, False), ({"name": "", "interval": "hourly"}, True)],
)
def test_a_schedule_may_be_without_a_name(schedule, recurring):
    assert (
        read_new_crawl({"start_url": SITE, "max_depth": 1, "schedule": schedule}, TERMS).request.recurring is recurring
    )


@pytest.mark.parametrize(
    "include", [".*", "", "/product/", "(?<relative_url>/x)", "(?!no)yes", r"(a)\1", r"^https?://(www\.)?x\.com/"]
)
def test_expressions_that_some_remote_may_take_are_passed_on(include):
    read_new_crawl({"start_url": SITE, "max_depth": 1, "url_regexp_include": include}, TERMS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start_url": None}, "start_url: is missing: every crawl needs"),
        ({"start_url": "example.com"}, "start_url: 'example.com': must be an http:// or https:// address"),
        ({"start_url": "https://a b/"}, "start_url: 'https://a b/': must not contain spaces"),
        ({"max_depth": None}, "max_depth, crawl_budget: are both missing"),
        ({"max_depth": -1}, r"max_depth: -1: must be a whole number from 0 to 100 \(LONGHAUL_CRAWL_MAX_DEPTH\)"),
        ({"max_depth": 101}, "max_depth: 101: must be a whole number from 0 to 100"),
        ({"max_depth": True}, "max_depth: True: must be"),
        ({"max_depth": 1.5}, "max_depth: 1.5: must be"),
        ({"max_depth": "2"}, "max_depth: '2': must be"),
        ({"crawl_budget": 0}, r"crawl_budget: 0: must be a whole number from 1 to 1000 \(LONGHAUL_CRAWL_MAX_BUDGET\)"),
        ({"crawl_budget": -5}, "crawl_budget: -5: must be"),
        ({"crawl_budget": 1001}, "crawl_budget: 1001: must be"),
        ({"url_regexp_include": "("}, r"url_regexp_include: '\(': is not a regular expression"),
        ({"url_regexp_exclude": "[a"}, r"url_regexp_exclude: '\[a': is not a regular expression"),
        ({"url_regexp_include": 5}, "url_regexp_include: 5: must be a string"),
        ({"api_params": [1]}, r"api_params: \[1\]: must be an object"),
        ({"enabled": "yes"}, "enabled: 'yes': must be true or false"),
        ({"schedule": "weekly"}, "schedule: 'weekly': must be an object"),
        (
            {"schedule": {"interval": "yearly"}},
            "schedule.interval: 'yearly': must be one of once, hourly, daily, weekly, monthly",
        ),
        ({"schedule": {"name": "x"}}, "schedule.interval: None: must be one of"),
        ({"schedule": {"interval": "daily", "name": 5}}, "schedule.name: 5: must be a string"),
        ({"schedule": {"interval": "daily", "cron": "* * * * *"}}, "schedule: .*: must be an object"),
        (
            {"callback": "ftp://us.test"},
            r"callback: a str of 13 characters \(not shown.*\): must be an http:// or https:// address",
        ),
        ({"callback": False}, "callback: False: a crawl's pages come by no other way"),
        ({"queue": "a:b"}, "queue: 'a:b': must be 1 to 64"),
        ({"account": "third"}, r"account: 'third': is not an account of this installation \(default, second\)"),
        ({"meta": [1]}, r"meta: \[1\]: must be an object"),
        ({"depth": 5}, r"depth: .*: is not an argument of crawls.create; those are start_url, max_depth"),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_the_rule(change, words):
    with pytest.raises(InvalidArgument, match=words):
        read_new_crawl({"start_url": SITE, "max_depth": 1, **change}, TERMS)


def test_without_an_address_for_its_pages_a_crawl_is_refused_and_says_what_to_set():
    nowhere = CrawlIntakeRules(IntakeRules(("default",)), 100, 1000)
    with pytest.raises(
        InvalidArgument, match=r"callback: is missing, and LONGHAUL_PUBLIC_URL is not set: .* set LONGHAUL_PUBLIC_URL"
    ):
        read_new_crawl({"start_url": SITE, "max_depth": 1}, nowhere)
    with pytest.raises(InvalidArgument, match="needs LONGHAUL_WEBHOOK_SECRET"):
        read_new_crawl({"start_url": SITE, "max_depth": 1, "callback": "https://us.test"}, nowhere)
