import time
from contextlib import suppress
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longhaul.errors import InvalidArgument
from longhaul.links.expressions import LONGEST, MOST_FOUND, compiled

URL = "https://example.com/product/17?x=1"


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            ".*",
            "^.*$",
            "product",
            r"/product/\d+",
            r"^https?://[^/]+/product/",
            r"https:\/\/example\.com\/",
            r"x=1$",
            "(?i)PRODUCT",
        ),
        *(
            r"(?<id>\d+)\?",
            r"(?P<id>\d+)\?",
            r"\u0070roduct",
            r"\u{70}roduct",
            "[^]product",
            r"\x70roduct",
            r"[\/]product[\/]",
            r"\bproduct\b",
        ),
        *(
            "(?:product|shop)",
            "[a-z]{7}",
            "produc[[t]",
            r"\Qproduct/17?\E",
            "[[:alpha:]]/",
            r"a{,3}|product",
            r"[\w-]+\.com",
            r"\-|product",
        ),
    ],
)
def test_what_stands_in_the_address_is_found(pattern):
    assert compiled("f", pattern).matches(URL)


@pytest.mark.parametrize(
    "pattern",
    [
        "shop",
        "produc[[:digit:][]",
        "^product",
        "product$",
        "[]",
        "product[]",
        r"\cA",
        r"[\b]",
        r"\u{1F600}",
        "PRODUCT",
        r"\Q.*\E",
    ],
)
def test_what_does_not_is_not(pattern):
    assert not compiled("f", pattern).matches(URL)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^[^]$", "\n"),
        (r"^\cj$", "\n"),
        (r"^[\cJ]$", "\n"),
        (r"^[\b]$", "\b"),
        (r"^\uD83D\uDE00$", "😀"),
        (r"^[\ud83d\ude00]$", "😀"),
        (r"^\u{1f600}$", "😀"),
        (r"^[(?=]$", "="),
        (r"^[(?<x>]$", "<"),
        (r"^[[]$", "["),
        (r"^[^]]$", "x]"),
        (r"^\\u0041$", r"\u0041"),
        (r"^\Q[]\E$", "[]"),
        (r"^\[]$", "[]"),
    ],
)
def test_what_javascript_writes_means_what_it_means_there(pattern, text):
    assert compiled("f", pattern).matches(text)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a(?=b)", r"f: 'a(?=b)': look-ahead is not supported: (?="),
        ("a(?!b)", r"look-ahead is not supported: (?!"),
        ("(?<=a)b", r"look-behind is not supported: (?<="),
        ("(?<!a)b", r"look-behind is not supported: (?<!"),
        (r"(a)\1", r"back-references are not supported: \1"),
        (r"(?<n>a)\k<n>", r"back-references are not supported: \k<"),
        ("a{1001}", "repetitions above 1000 are not supported"),
        ("a{1,2000}", "repetitions above 1000 are not supported"),
        ("a{2000,}", "repetitions above 1000 are not supported"),
        ("((a{100}){100})", "repetitions above 1000 are not supported, nested ones multiplied"),
        ("a{2,1}", "is not a regular expression of RE2 (invalid repetition size: {2,1})"),
        ("(", "is not a regular expression of RE2 (missing ): ()"),
        ("a)", "is not a regular expression of RE2 (unexpected ): a))"),
        ("[a", "is not a regular expression of RE2 (missing ]: [a)"),
        ("*", "is not a regular expression of RE2 (no argument for repetition operator: *)"),
        ("a**", "bad repetition operator"),
        ("\\", "trailing \\"),
        ("[z-a]", "invalid character class range"),
        (r"\u12", "invalid escape sequence"),
        ("\ud800", "a lone surrogate"),
        ("x" * (LONGEST + 1), f"must be at most {LONGEST} characters long"),
        ("(.*){1000}.{800}", "is too large: 16404 steps, at most 10000"),
        (r"\pL{1000}", "is not a regular expression of RE2 (pattern too large"),
    ],
)
def test_what_re2_cannot_do_is_refused_in_words(pattern, words, capfd):
    with pytest.raises(InvalidArgument) as refused:
        compiled("f", pattern)
    assert str(refused.value).startswith("f: ")
    assert words in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_groups_named_for_links_make_targets():
    assert not compiled("f", "(?<url>a)").targets
    assert not compiled("f", r"[(?<full_url>]\(?<full_url>|\\(a)").targets
    assert compiled("f", "(?<full_url>a)").targets
    assert compiled("f", "(?P<relative_url>a)").targets


def test_every_match_of_a_target_is_found_in_order():
    pattern = r"""href="(?:(?<full_url>https?://[^"]+)|(?P<relative_url>[^"]+))"|src=(x)(?<full_url>[^ ]*)"""
    html = '<a href="/a?b=1&amp;c=2"> é <a href="https://x/y"> src=xé src=x'
    assert list(compiled("f", pattern).found_in(html)) == ["/a?b=1&c=2", "https://x/y", "é"]


def test_a_target_that_matches_everywhere_comes_to_an_end():
    assert len(list(compiled("f", "(?<full_url>x)").found_in("x" * (MOST_FOUND + 10), seconds=inf))) == MOST_FOUND
    assert list(compiled("f", "(?<full_url>x*)").found_in("axxb")) == ["xx"]


@pytest.mark.parametrize(
    ("pattern", "carries"),
    [(r"https?://other\.example/", True), (r"https:\/\/x", True), (".*", False), ("//x", False), (":", False)],
)
def test_an_expression_with_full_urls_is_known(pattern, carries):
    assert compiled("f", pattern).carries_addresses is carries


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(a|a)*!", "(a*)*!", "(?:.*a.*b){300}c", "[ab]*a[ab]{900}c"])
def test_time_is_linear_whatever_the_expression(pattern):
    expression = compiled("f", pattern)
    began = time.monotonic()
    assert not expression.matches("http://example.com/" + "xab" * 5_000)
    assert time.monotonic() - began < 5  # 15 ms on a quiet machine


@settings(deadline=None)
@given(st.text("\\uxcdbQEk(?<=!P>)[]^{}*+$|:/-019aDF", max_size=30) | st.text(max_size=30), st.text(max_size=30))
def test_any_pattern_is_compiled_or_refused_in_words(pattern, text):
    with suppress(InvalidArgument):
        expression = compiled("f", pattern)
        expression.matches(text)
        list(expression.found_in(text))


def test_an_expression_that_looks_at_the_whole_page_for_each_link_is_stopped():
    expression = compiled("url_regexp_include", r"(?<full_url>a[^b]*b|a)")
    began = time.monotonic()
    found = sum(1 for _ in expression.found_in("a" * 1_000_000, seconds=0.3))
    assert 0 < found < 1_000_000
    assert time.monotonic() - began < 5
