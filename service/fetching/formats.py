"""From the bytes of a target's answer to the contract's `response`: charset, text, Markdown, base64. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markdownify import markdownify
from selectolax.lexbor import LexborHTMLParser

from longhaul.links.charset import MARKS, SNIFFED, decode, is_html, media_type
from longhaul.scraperapi.models import Json

TEXTUAL = re.compile(
    r"text/|.*\+(xml|json)$|"
    r"application/(.*\+)?(json|xml|javascript|x-javascript|ecmascript|x-ndjson|x-www-form-urlencoded)"
)
INVISIBLE = ["script", "style", "noscript", "template", "iframe", "svg"]
"""Elements whose text no reader of the page sees."""
BLOCKS = (
    "address,article,aside,blockquote,br,dd,div,dt,figure,footer,form,h1,h2,h3,h4,h5,h6,header,hr,li,main,nav,p,pre,"
    "section,table,td,th,tr"
)
_BREAK = "\uf8ff"
"""Marks the end of a line while white space is collapsed: a private-use character, which pages do not contain."""

_DROPPED_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "trailer", "upgrade"}


@dataclass(frozen=True, slots=True)
class ConvertedPage:
    """A converted answer: the contract's `response` object, and the text before any conversion, where it is HTML."""

    response: Json
    html: str | None


def convert(
    status: int, final_url: str, headers: Iterable[tuple[str, str]], body: bytes, *, wanted: str | None, binary: bool
) -> ConvertedPage:
    """Convert a target's answer. `wanted`: text, markdown or None; `binary`: the client says that it is binary."""
    pairs = [(name.lower(), value) for name, value in headers]
    shown: dict[str, str] = {}
    for name, value in pairs:
        if name not in _DROPPED_HEADERS:
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
    if any(name == "content-encoding" for name, _ in pairs):
        # The length is that of the compressed body, and the body is returned decompressed.
        shown.pop("content-length", None)
    # Only 200 and 404 are charged (contract: credits).
    cost = 1 if status in (200, 404) else 0
    shown |= {"sa-final-url": final_url, "sa-statuscode": str(status), "sa-credit-cost": str(cost)}
    document: Json = {"headers": shown, "statusCode": status, "credits": cost}
    content_type = shown.get("content-type", "")
    if is_binary(content_type, body):
        return ConvertedPage(document | {"base64EncodedBody": base64.b64encode(body).decode()}, None)
    text = decode(content_type, body)
    html = text if is_html(content_type, text) else None
    if binary:
        return ConvertedPage(document | {"base64EncodedBody": base64.b64encode(body).decode()}, html)
    if wanted is not None and html is not None:
        text = _CONVERTERS[wanted](html)
    return ConvertedPage(document | {"body": text}, html)


def is_binary(content_type: str, body: bytes) -> bool:
    """Whether a body is binary: by its type, or, where the target names none, by a zero byte near its start."""
    named_type = media_type(content_type)
    if not named_type:
        return b"\0" in body[:SNIFFED] and not body.startswith(tuple(mark for mark, _ in MARKS))
    return TEXTUAL.match(named_type) is None


def to_text(html: str) -> str:
    """The page as a reader sees it, one line for each block."""
    tree = _visible(html)
    if tree.body is None:
        return ""
    for node in tree.css(BLOCKS):
        node.insert_before(_BREAK)
        node.insert_after(_BREAK)
    lines = (" ".join(line.split()) for line in " ".join(tree.body.text().split()).split(_BREAK))
    return "\n".join(line for line in lines if line)


def to_markdown(html: str) -> str:
    """The page as Markdown, headings with #."""
    tree = _visible(html)
    text: str = markdownify((tree.body and tree.body.html) or "", heading_style="ATX")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


_CONVERTERS: dict[str, Callable[[str], str]] = {"text": to_text, "markdown": to_markdown}


def _visible(html: str) -> LexborHTMLParser:
    tree = LexborHTMLParser(html)
    tree.strip_tags(INVISIBLE)
    return tree
