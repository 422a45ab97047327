from __future__ import annotations

import codecs

import pytest

from longhaul.links.charset import CODECS, decode


@pytest.mark.parametrize(
    "name", ["punycode", "idna", "undefined", "unicode_escape", "utf-7", "hex", "rot13", "mbcs", "no-such"]
)
def test_only_what_browsers_know_is_a_charset(name: str) -> None:
    body = "<p>ü-aé".encode() * 20_000  # punycode would take hours
    assert decode(f"text/html; charset={name}", body) == body.decode()
    page = f'<meta charset="{name}">ü'
    assert decode("text/html", page.encode()) == page


@pytest.mark.parametrize(
    "label",
    [
        "windows-1251",
        "ISO-8859-15",
        "koi8-r",
        "Shift_JIS",
        "GB2312",
        "gb18030",
        "big5",
        "euc-kr",
        "iso-2022-jp",
        "macintosh",
        "ibm866",
    ],
)
def test_the_browsers_charsets_are_read(label: str) -> None:
    text = "<p>page 1"
    assert decode(f"text/html; charset={label}", text.encode(label)) == text
    assert codecs.lookup(label).name in CODECS


@pytest.mark.parametrize("name", sorted(CODECS))
def test_no_charset_of_a_page_raises_or_takes_long(name: str) -> None:
    assert decode(f"text/html; charset={name}", bytes(range(256)) * 4000)
