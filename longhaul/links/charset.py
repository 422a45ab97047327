"""What a target's bytes say as text: their charset, and whether they are HTML. As browsers have it; pure."""

from __future__ import annotations

import codecs
import re

SNIFFED = 1024
"""Bytes at the start of a body in which a charset is searched for."""
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""Byte order marks, and the codec of each."""

CODECS = frozenset(
    {
        *(
            "utf-8",
            "utf-16",
            "utf-16-le",
            "utf-16-be",
            "ascii",
            "cp866",
            "koi8-r",
            "koi8-u",
            "mac-roman",
            "mac-cyrillic",
            "tis-620",
        ),
        *(f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)),
        *("cp874", *(f"cp125{part}" for part in range(9))),
        *(
            "gb2312",
            "gbk",
            "gb18030",
            "big5",
            "big5hkscs",
            "euc_jp",
            "shift_jis",
            "cp932",
            "iso2022_jp",
            "euc_kr",
            "cp949",
        ),
    }
)
"""What a page may say that it is in, by Python's names: the encodings that browsers know. Python has others, of which
some raise, and one takes hours for a page of a few hundred KB."""

_META = re.compile(rb"""<meta[^>]+?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]+?encoding\s*=\s*["']([A-Za-z0-9_.:-]+)""")
_PARAMETER = re.compile(r"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_HTML = re.compile(r"text/html|application/xhtml\+xml")


def decode(content_type: str, body: bytes) -> str:
    """Text in the target's charset: byte order mark, header, meta tag or XML declaration, UTF-8, and at last
    windows-1252.
    """
    for mark, name in MARKS:
        if body.startswith(mark):
            return body.decode(name, "replace")
    head = body[:SNIFFED]
    stated = _PARAMETER.search(content_type)
    in_head = _XML.search(head) or _META.search(head)
    for label in (stated[1] if stated else None, in_head[1].decode() if in_head else None):
        if label is not None and (text := _decoded(body, label)) is not None:
            return text
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("windows-1252", "replace")


def media_type(content_type: str) -> str:
    """The type in a content-type, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_html(content_type: str, text: str) -> bool:
    """Whether there are links and tags in it: by its type, or, where the target names none, by how it begins."""
    named = media_type(content_type)
    return _HTML.match(named) is not None if named else text.lstrip()[:1] == "<"


def _decoded(body: bytes, label: str) -> str | None:
    # Browsers read these two as windows-1252 (WHATWG Encoding), and pages rely on it.
    name = "windows-1252" if label.lower() in ("iso-8859-1", "us-ascii") else label
    try:
        known = codecs.lookup(name).name in CODECS
    except LookupError:
        return None
    return body.decode(name, "replace") if known else None
