import json

import pytest
from click.testing import CliRunner

from cli.crawl.command import crawl
from cli.crawl.dry_run import MAX_BYTES, MAX_REDIRECTS, DryRunPage, PageUnavailable, conclusion, fetch
from longhaul.errors import InvalidArgument
from tests.conftest import free_port
from tests.wire import Reply, wire

LINKS = '<a href="/a">a</a> <a href="b">b</a> <a href="http://elsewhere.example/">else</a> <a href="mailto:x@y">m</a>'
HTML = {"Content-Type": "text/html"}


def run(*arguments):
    return CliRunner().invoke(crawl, arguments)


def test_each_link_has_its_rule_and_nothing_is_needed_beside_the_page():
    with wire(lambda _: Reply(200, LINKS.encode(), HTML)) as site:
        shown = run(site.base, "--exclude", "/b$", "--dry-run", f"{site.base}/dir/page")
    assert shown.exit_code == 0, shown.output
    assert [json.loads(line) for line in shown.stdout.splitlines()] == [
        {"url": f"{site.base}/a", "verdict": "crawled"},
        {"url": f"{site.base}/dir/b", "verdict": "in url_regexp_exclude"},
        {"url": "http://elsewhere.example/", "verdict": "off the site"},
        {"url": "mailto:x@y", "verdict": "no http(s) address"},
    ]
    assert (
        shown.stderr
        == f"1 of 4 links of {site.base}/dir/page would be crawled, unless --depth or --budget ends the crawl before.\n"
    )


def test_a_bad_expression_is_wrong_usage_before_anything_is_fetched():
    with wire(lambda _: Reply()) as site:
        said = run(site.base, "--include", "(", "--dry-run", site.base)
        assert site.asked == []
    assert (said.exit_code, said.stdout) == (2, "")
    assert "url_regexp_include: '(': is not a regular expression" in said.stderr


def test_a_page_that_is_away_is_said():
    page = f"http://127.0.0.1:{free_port()}/"
    said = run("http://site.example/", "--dry-run", page)
    assert (said.exit_code, said.stdout) == (69, "")
    assert said.stderr.startswith(f"{page} does not answer (")


def test_a_redirect_is_followed_to_the_address_that_links_are_relative_to():
    def answer(ask):
        return (
            Reply(302, headers={"Location": "/dir/new"})
            if ask.path == "/old"
            else Reply(404, "<p>\u00e9".encode("latin-1"), HTML)
        )

    with wire(answer) as site:
        assert fetch(f"{site.base}/old") == DryRunPage(f"{site.base}/dir/new", 404, "<p>\u00e9")


@pytest.mark.parametrize(
    ("location", "words"), [("/again", f"redirects more than {MAX_REDIRECTS} times"), ("ftp://x/", "which is no http")]
)
def test_a_redirect_that_leads_nowhere_is_said(location, words):
    with (
        wire(lambda _: Reply(301, headers={"Location": location})) as site,
        pytest.raises(PageUnavailable, match=words),
    ):
        fetch(site.base)


def test_a_page_without_end_is_not_read_to_its_end():
    with (
        wire(lambda _: Reply(200, b"x" * (MAX_BYTES + 1), HTML)) as site,
        pytest.raises(PageUnavailable, match=f"longer than {MAX_BYTES} bytes"),
    ):
        fetch(site.base)


def test_an_address_that_is_none_is_named():
    with pytest.raises(InvalidArgument, match="page_url: 'ftp://x/': must be"):
        fetch("ftp://x/")


def test_a_page_that_is_no_html_has_no_links():
    with wire(lambda _: Reply(200, LINKS.encode(), {"Content-Type": "text/plain"})) as site:
        page = fetch(site.base)
    assert conclusion(page, []) == f"{site.base}/ is no HTML: it has no links."


def test_another_answer_than_200_is_said():
    assert conclusion(DryRunPage("http://x/", 403, "<p>"), []).endswith("ends the crawl before. It answered with 403.")
