import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longhaul.errors import InvalidArgument
from longhaul.links.extract import links, normalised
from longhaul.links.scope import REMEMBERED, ExplainedLink, LinkDecision, Scope, site_of

START = "http://www.example.co.uk/start"
ODD = [
    *("", "/x", "x", "./x", "../u", "a/b:c", "//h/x", "/\\\\h/x", "\\\\h\\x", "?q", " ?q", "\t?q", "#f", " /x", " x"),
    *(
        "http:x",
        "http:?x",
        "http:",
        "http:#x",
        "HTTP:?x",
        "https:y",
        "HTTP://h/",
        "http://h/z",
        "https://h/z",
        "http:///h/z",
        "mailto:a",
    ),
]
HREFS = st.text("/.?#:@\\ \t\nabh%é", max_size=12) | st.sampled_from(ODD)
BASES = [
    *(
        "http://h/",
        "http://h/a/b",
        "http://h/a/b?c/d#e",
        "http://h/a/b?c/e",
        "http://h/a/c",
        "http://h/a/",
        "http://h/?x",
        "http://h/?y",
    ),
    *(
        "https://h/a/b",
        "https://h/a/c",
        "http://h/HTTP://h/",
        "http://h/HTTP:/",
        "http://i/a/b",
        "http://h:81/a/b",
        "ftp://h/a/b",
    ),
]


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("http://www.example.co.uk/", "example.co.uk"),
        ("https://shop.example.co.uk:8443/x", "example.co.uk"),
        ("http://example.com./", "example.com"),
        ("http://a.github.io/", "a.github.io"),
        ("http://github.io/", "github.io"),
        ("http://a.b.test/", "b.test"),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://localhost:8080/", "localhost:8080"),
        ("http://10.0.0.1/", "10.0.0.1"),
        ("http://10.0.0.1:81/", "10.0.0.1:81"),
        ("http://[::1]:81/", "[::1]:81"),
        ("http://a..b/", "a..b"),
    ],
)
def test_a_site_is_a_registrable_domain_or_a_host_with_its_port(address, site):
    assert site_of(address) == site


@pytest.mark.parametrize(
    ("include", "exclude", "url", "decision"),
    [
        (".*", None, "https://shop.example.co.uk/x", LinkDecision.CRAWLED),
        (".*", "", "http://www.example.co.uk:81/", LinkDecision.CRAWLED),
        (".*", None, "http://other.co.uk/", LinkDecision.OFF_SITE),
        (".*", None, "http://example.co.uk.evil.test/", LinkDecision.OFF_SITE),
        (".*", None, "mailto:a@example.co.uk", LinkDecision.NO_PAGE),
        (".*", "/product/", "http://www.example.co.uk/product/1", LinkDecision.EXCLUDED),
        (".*", ".*/product/.*", "http://www.example.co.uk/products", LinkDecision.CRAWLED),
        ("/blog/", None, "http://www.example.co.uk/blog/1", LinkDecision.CRAWLED),
        ("/blog/", None, "http://www.example.co.uk/shop", LinkDecision.NOT_INCLUDED),
        ("/blog/", "x", "http://www.example.co.uk/blog/x", LinkDecision.EXCLUDED),
        (r"https?://other\.example/", None, "http://other.example/x", LinkDecision.CRAWLED),
        (r"https?:\/\/other\.example\/", None, "http://other.example/x", LinkDecision.CRAWLED),
        (r"https?://other\.example/", None, "http://www.example.co.uk/", LinkDecision.NOT_INCLUDED),
        (r"https?://other\.example/", "/x", "http://other.example/x", LinkDecision.EXCLUDED),
        # What counts is the address as the standard writes it.
        ("/b$", None, "HTTP://WWW.EXAMPLE.CO.UK/a/../b#c", LinkDecision.CRAWLED),
    ],
)
def test_the_first_rule_that_speaks_against_a_link_is_its_decision(include, exclude, url, decision):
    assert Scope.of(START, include, exclude).decide(url) is decision


def test_where_there_is_no_domain_host_and_port_must_be_equal():
    scope = Scope.of("http://127.0.0.1:8000/", ".*")
    assert scope.decide("http://127.0.0.1:8000/x") is LinkDecision.CRAWLED
    assert scope.decide("http://127.0.0.1:8001/x") is LinkDecision.OFF_SITE
    assert scope.decide("http://1.0.0.1:8000/x") is LinkDecision.OFF_SITE


def test_a_wrong_argument_is_named():
    with pytest.raises(InvalidArgument, match=r"^start_url: 'ftp://x/'"):
        Scope.of("ftp://x/", ".*")
    with pytest.raises(InvalidArgument, match=r"^url_regexp_include: '\('"):
        Scope.of(START, "(")
    with pytest.raises(InvalidArgument, match=r"^url_regexp_exclude: '\('"):
        Scope.of(START, ".*", "(")


PAGE = """
    <a href="/blog/1">1</a> <a href="/blog/1#comments">again</a> <a href="/shop">2</a>
    <a href="http://other.example/blog/2">3</a>
    <a href="/blog/secret">4</a> <a href="javascript:x()">5</a> <a href="#top">6</a>
    <a href="https://shop.example.co.uk/blog/3">7</a>
"""


def test_the_pages_to_crawl_are_told_and_every_link_explained():
    scope = Scope.of(START, "/blog/", "secret")
    assert scope.follow(PAGE, START) == ["http://www.example.co.uk/blog/1", "https://shop.example.co.uk/blog/3"]
    assert scope.explain(PAGE, START) == [
        ExplainedLink("http://www.example.co.uk/blog/1", LinkDecision.CRAWLED),
        ExplainedLink("http://www.example.co.uk/shop", LinkDecision.NOT_INCLUDED),
        ExplainedLink("http://other.example/blog/2", LinkDecision.OFF_SITE),
        ExplainedLink("http://www.example.co.uk/blog/secret", LinkDecision.EXCLUDED),
        ExplainedLink("javascript:x()", LinkDecision.NO_PAGE),
        ExplainedLink("https://shop.example.co.uk/blog/3", LinkDecision.CRAWLED),
    ]


class TestAnIncludeThatFindsTheLinksItself:
    HTML = """
        <script>go("/a"); go("/a"); go("b"); go("/secret"); go("http://other.example/"); go("mailto:x")</script>
        <a href="/c">c</a>
    """

    def test_its_groups_are_the_links(self):
        scope = Scope.of(START, r'go\("(?<relative_url>[^"]*)"\)', "secret")
        assert scope.follow(self.HTML, START) == ["http://www.example.co.uk/a", "http://www.example.co.uk/b"]

    def test_all_links_are_explained(self):
        scope = Scope.of(START, r'go\("(?<relative_url>[^"]*)"\)', "secret")
        assert [
            (one.url.removeprefix("http://www.example.co.uk"), one.decision) for one in scope.explain(self.HTML, START)
        ] == [
            ("/a", LinkDecision.CRAWLED),
            ("/b", LinkDecision.CRAWLED),
            ("/secret", LinkDecision.EXCLUDED),
            ("http://other.example/", LinkDecision.OFF_SITE),
            ("mailto:x", LinkDecision.NO_PAGE),
            ("/c", LinkDecision.NOT_INCLUDED),
        ]

    def test_where_it_speaks_of_full_urls_the_site_is_no_bound(self):
        assert Scope.of(START, r'"(?<full_url>https?://[^"]+)"').follow(self.HTML, START) == ["http://other.example/"]

    def test_the_base_of_the_page_counts(self):
        assert Scope.of(START, r'go\("(?<relative_url>b)"\)').follow(f"<base href=/dir/>{self.HTML}", START) == [
            "http://www.example.co.uk/dir/b"
        ]


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_remembered_of_one_page_is_right_on_all_others(order):
    scope = Scope.of("http://h/", '"(?<full_url>[^"]*)"|://')
    html = "".join(f'"{href}"' for href in ODD)
    for base in BASES[::order]:
        page = normalised(base) or base
        assert scope.follow(html, base) == list(
            dict.fromkeys(address for href in ODD if href and (address := normalised(href, page)))
        )


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(BASES), st.lists(HREFS, max_size=5)), max_size=8))
def test_what_is_remembered_of_pages_of_all_kinds_is_right(pages):
    scope = Scope.of("http://h/", "https?://")
    for base, hrefs in pages:
        html = "".join(f'<a href="{href}"></a>' for href in hrefs)
        assert scope.follow(html, base) == links(html, base)


def test_memory_is_bounded():
    scope = Scope.of("http://h/", ".*")
    for start in range(0, 3 * REMEMBERED, 1000):
        scope.follow("".join(f"<a href=/{n}>" for n in range(start, start + 1000)), "http://h/")
        assert len(scope._remembered) <= REMEMBERED


def test_what_is_too_long_for_an_address_is_not_remembered():
    scope = Scope.of("http://h/", ".*")
    assert not scope.follow(f'<a href="/{"x" * 100_000}">', "http://h/")
    assert scope.follow(f'<a href="/y#{"x" * 100_000}">', "http://h/") == ["http://h/y"]
    assert not scope._remembered


@settings(deadline=None)
@given(
    st.text(),
    st.lists(HREFS),
    st.sampled_from([".*", "a", "(?<full_url>[^<> ]+)", "https?://"]),
    st.sampled_from(["", "b"]),
)
def test_follow_and_explain_agree_on_pages_of_all_kinds(html, hrefs, include, exclude):
    scope = Scope.of(START, include, exclude)
    html += "".join(f'<a href="{href}">' for href in hrefs)
    followed = scope.follow(html, START)
    assert followed == [one.url for one in scope.explain(html, START) if one.decision is LinkDecision.CRAWLED]
    assert len(followed) == len(set(followed))
    for address in followed:
        assert address.startswith(("http://", "https://"))
        assert "#" not in address
        assert normalised(address) == address
        assert scope.decide(address) is LinkDecision.CRAWLED
