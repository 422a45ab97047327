import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longhaul.links.extract import LONGEST, links, normalised

PAGE = "http://example.com/dir/page.html?q=1"


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("", "http://example.com/dir/page.html?q=1"),
        ("?a=1", "http://example.com/dir/page.html?a=1"),
        ("#top", "http://example.com/dir/page.html?q=1"),
        ("x", "http://example.com/dir/x"),
        (" \n/x ", "http://example.com/x"),
        ("/a\tb\nc", "http://example.com/abc"),
        ("../../..", "http://example.com/"),
        ("./a/../b", "http://example.com/dir/b"),
        ("//host/x", "http://host/x"),
        ("http:/x", "http://example.com/x"),
        ("http:x", "http://example.com/dir/x"),
        ("https:x", "https://x/"),
        ("\\x\\y", "http://example.com/x/y"),
        ("HTTP://EXAMPLE.COM", "http://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:443/", "https://example.com/"),
        ("http://example.com:8080/", "http://example.com:8080/"),
        ("http://bücher.example/ü?ö#ä", "http://xn--bcher-kva.example/%C3%BC?%C3%B6"),
        ("http://h/%41%zz", "http://h/%41%zz"),
        ("http://h/%2e%2E/x", "http://h/x"),
        ("http://h/a b\"<>'", "http://h/a%20b%22%3C%3E'"),
        ("http://h/a\0b", "http://h/a%00b"),
        ("http://127.1/", "http://127.0.0.1/"),
        ("http://[::0:1]:80/", "http://[::1]/"),
        ("http://h/?", "http://h/?"),
        ("http://h/?#", "http://h/?"),
        ("http://user:secret@h/@x", "http://h/@x"),
        ("http://user@h:81/", "http://h:81/"),
        ("http://h/a@b", "http://h/a@b"),
    ],
)
def test_addresses_are_written_as_the_url_standard_says(address, wanted):
    assert normalised(address, PAGE) == wanted


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://h:99999/",
            "http://h:x/",
            "http://",
            "http://a b/",
            "http://[::1/",
            "http://1.2.3.4.5/",
            "http://%zz/",
            "http://h/\ud800",
        ),
        *(
            "javascript:void(0)",
            "mailto:a@example.com",
            "data:text/html,x",
            "ftp://example.com/",
            "file:///etc/passwd",
            "about:blank",
        ),
        "http://h/" + "x" * LONGEST,
    ],
)
def test_what_is_no_http_address_is_none(address):
    assert normalised(address, PAGE) is None


def test_without_a_base_only_an_absolute_address_is_one():
    assert normalised("http://h") == "http://h/"
    assert normalised("/x") is None
    assert normalised("/x", "no base") is None


@settings(deadline=None)
@given(st.text() | st.text("htps:/?#@.%[]\\ \t\nxn-é1").map("http://h".__add__))
def test_normalising_twice_changes_nothing(address):
    once = normalised(address, PAGE)
    if once is not None:
        assert normalised(once) == once
        assert once.startswith(("http://", "https://"))
        assert "#" not in once


def test_links_come_in_document_order_and_once():
    html = """
        <link rel="Next nofollow" href="/next"> <LINK REL=canonical HREF=/canonical>
        <link rel=stylesheet href=/style.css>
        <link href=/norel>
        <a href="/a">1</a> <AREA HREF="/area"> <a href="/a#again">2</a>
        <iframe src="/iframe"></iframe> <a name=x>no link</a>
        <a href=mailto:a@b>3</a> <a href="ftp://x/">4</a> <a href="#top">5</a>
        <img src=/image.png> <iframe href=/no></iframe>
        <svg><a href="/svg">6</a><use href="/use"/></svg> <noscript><a href="/noscript">7</a></noscript>
        <!-- <a href="/comment">8</a> -->
        <script>"<a href='/script'>"</script> <template><a href="/template">9</a></template> <a href>self</a>
    """
    found = ["/next", "/canonical", "/a", "/area", "/iframe", "/svg", "/noscript", "/dir/page.html?q=1"]
    assert links(html, PAGE) == [f"http://example.com{path}" for path in found]


def test_frames_are_links():
    assert links("<frameset><frame src=a><frame src=b></frameset>", PAGE) == [
        "http://example.com/dir/a",
        "http://example.com/dir/b",
    ]


@pytest.mark.parametrize(
    ("base", "wanted"),
    [
        ("<base href=//other/sub/>", "http://other/sub/x"),
        ("<base href=up/>", "http://example.com/dir/up/x"),
        ("<base href='/q?a/b#c/d'>", "http://example.com/x"),
        ("<base href=/one/><base href=/two/>", "http://example.com/one/x"),
        ("<base target=_top><base href=/two/>", "http://example.com/two/x"),
        ("<base href=http://[>", "http://example.com/dir/x"),
        ("<base href=javascript:1>", "http://example.com/dir/x"),
        ("<base href=data:,x>", "http://example.com/dir/x"),
        ("<base href=https://u:p@h/a/b>", "https://h/a/x"),
    ],
)
def test_the_first_base_stands_for_the_whole_page(base, wanted):
    assert links(f"{base}<a href=x>", PAGE) == [wanted]
    assert links(f"<a href=x></a>{base}", PAGE) == [wanted]


def test_a_base_that_is_no_http_address_leaves_absolute_links_only():
    assert links("<base href=ftp://f/><a href=x></a><a href=http://h/>", PAGE) == ["http://h/"]


@pytest.mark.parametrize(
    "html",
    [
        *(
            "",
            "\0",
            "\ud800",
            "<a href='/x",
            "<a href=/x <b>",
            "</a></a><a href=/x>",
            "<a href='/x\0'>",
            "<a href='/\ud800x'>",
        ),
        *(
            "<a href=/x>" * 3,
            "<table><a href=/x>",
            "<" * 1000 + "a href=/x>",
            "<![CDATA[<a href=/x>]]>",
            "<a href='/x'><a href='/x'>",
        ),
    ],
)
def test_broken_pages_break_nothing(html):
    assert len(links(html, PAGE)) <= 1


@pytest.mark.parametrize("tag", ["div", "a", "b", "table", "p", "svg"])
def test_a_page_nested_10000_deep_is_read(tag):
    assert links(f"<{tag}>" * 10_000 + "<a href=/x>", PAGE) == ["http://example.com/x"]


def test_100000_links_on_one_page_are_all_found_within_seconds():
    began = time.monotonic()
    found = links("".join(f"<a href=/{n}>" for n in range(100_000)), PAGE)
    assert len(found) == len(set(found)) == 100_000
    assert time.monotonic() - began < 20  # 1 s on a quiet machine


def test_a_page_without_an_address_has_no_links():
    assert links("<a href=/x></a><a href=http://h/y>", "no address") == []


@settings(deadline=None)
@given(st.text(), st.text())
def test_links_never_raises(html, url):
    links(html, url)
    links(f"<base href='{html}'><a href='{url}'>", PAGE)
