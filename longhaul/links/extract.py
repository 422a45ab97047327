"""Which addresses a page links to, read_links as the URL standard and the HTML standard read_links them. Pure.

What a script would add to the page is not seen. A query is always percent-encoded as UTF-8, whatever charset the page
came in.
"""

from __future__ import annotations

from dataclasses import dataclass

from ada_url import join_url, normalize_url
from selectolax.lexbor import LexborHTMLParser

LONGEST = 16_384
"""Characters of an address; a longer one is none."""

_SELECTOR = "[href],frame[src],iframe[src]"
_ATTRIBUTES = {"a": "href", "area": "href", "link": "href", "base": "href", "frame": "src", "iframe": "src"}
_RELATIONS = frozenset({"next", "canonical"})
ELSEWHERE = ("javascript:", "mailto:", "tel:", "data:")
"""Prefixes of most links that lead to no page; a cheap test before parsing."""


def normalised(address: str, base: str | None = None) -> str | None:
    """`address` as an absolute http(s) URL of at most `LONGEST` characters, as the URL standard writes it; None where
    it is none.

    Without its fragment, for that never reaches a server. Without user and password, for they are no part of which page
    it is, and the address will stand in events, summaries and logs.
    """
    try:
        href = join_url(base, address) if base is not None else normalize_url(address)
    except ValueError:
        return None
    if not href.startswith(("http://", "https://")):
        return None
    # As the standard writes it, the path's slash is always there, and # and, before the path, @ stand for nothing else.
    if "#" in href:
        href = href.partition("#")[0]
    if "@" in href:
        scheme, rest = href.split("//", 1)
        authority, path = rest.split("/", 1)
        href = f"{scheme}//{authority.rpartition('@')[2]}/{path}"
    return href if len(href) <= LONGEST else None


def links(html: str, url: str) -> list[str]:
    """The pages that the page at `url` links to, normalised, in document order, each once."""
    found = read_links(html, url)
    return list(dict.fromkeys(address for raw in found.hrefs if (address := normalised(raw, found.base)) is not None))


@dataclass(frozen=True, slots=True)
class PageLinks:
    """What a page's links say as written, in document order, and the address that they are relative to."""

    base: str
    hrefs: list[str]


def read_links(html: str, url: str) -> PageLinks:
    """The links of a, area, frame, iframe, and of link where it leads to the next or the canonical page."""
    base: str | None = None
    hrefs: list[str] = []
    for node in LexborHTMLParser(html).css(_SELECTOR):
        tag, attributes = node.tag, node.attributes
        name = _ATTRIBUTES.get(tag or "")
        if name is None or name not in attributes:
            continue
        href = attributes[name] or ""
        if tag == "base":
            # The first base stands for the whole page, also for what comes before it.
            base = href if base is None else base
        elif href.startswith("#"):
            continue  # A place on this page
        elif tag != "link" or not _RELATIONS.isdisjoint((attributes.get("rel") or "").lower().split()):
            hrefs.append(href)
    return PageLinks(_base(base, url), hrefs)


def _base(href: str | None, url: str) -> str:
    page = normalised(url) or url
    if href is None:
        return page
    try:
        base: str = join_url(page, href)
    except ValueError:
        return page
    # The HTML standard forbids these two as bases.
    return page if base.startswith(("data:", "javascript:")) else base
