"""From a target's bytes to what the contract hands over: charset, text, markdown, base64. Pure."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markdownify import markdownify
from selectolax.lexbor import LexborHTMLParser

from scraperapi.models import Json

TEXTUAL = re.compile(r"text/|application/(.*\+)?(json|xml|javascript|x-javascript|ecmascript|x-ndjson|x-www-form-urlencoded)|.*\+(xml|json)$")
HTML = re.compile(r"text/html|application/xhtml\+xml")
SNIFFED = 1024
UNSEEN = ["script", "style", "noscript", "template", "iframe", "svg"]
"""Elements whose text no reader of the page sees."""
BLOCKS = "address,article,aside,blockquote,br,dd,div,dt,figure,footer,form,h1,h2,h3,h4,h5,h6,header,hr,li,main,nav,p,pre,section,table,td,th,tr"
_BREAK = "\uf8ff"
"""Stands for a line's end while white space is collapsed; a private character that no page uses."""

_META = re.compile(rb"""<meta[^>]+?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]+?encoding\s*=\s*["']([A-Za-z0-9_.:-]+)""")
_PARAMETER = re.compile(r"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DROPPED = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "trailer", "upgrade"}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer as it was read: the contract's `response` object, and the text before any conversion, where it is HTML."""

    response: Json
    html: str | None


def page(status: int, final_url: str, headers: Iterable[tuple[str, str]], body: bytes, *, wanted: str | None, binary: bool) -> Page:
    """What a target answered. `wanted`: text | markdown | None; `binary`: the caller says that the body is no text."""
    pairs = [(name.lower(), value) for name, value in headers]
    shown: dict[str, str] = {}
    for name, value in pairs:
        if name not in _DROPPED:
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
    if any(name == "content-encoding" for name, _ in pairs):
        # The length is that of the compressed body, and the body is handed over as it reads.
        shown.pop("content-length", None)
    # Only 200 and 404 are charged (contract: credits).
    cost = 1 if status in (200, 404) else 0
    shown |= {"sa-final-url": final_url, "sa-statuscode": str(status), "sa-credit-cost": str(cost)}
    document: Json = {"headers": shown, "statusCode": status, "credits": cost}
    content_type = shown.get("content-type", "")
    if is_binary(content_type, body):
        return Page(document | {"base64EncodedBody": base64.b64encode(body).decode()}, None)
    text = decode(content_type, body)
    html = text if is_html(content_type, text) else None
    if binary:
        return Page(document | {"base64EncodedBody": base64.b64encode(body).decode()}, html)
    if wanted is not None and html is not None:
        text = _CONVERTERS[wanted](html)
    return Page(document | {"body": text}, html)


def is_binary(content_type: str, body: bytes) -> bool:
    """Whether a body is no text: by its type, or, where the target names none, by a zero byte near its start."""
    kind = _kind(content_type)
    if not kind:
        return b"\0" in body[:SNIFFED] and not body.startswith(tuple(mark for mark, _ in _MARKS))
    return TEXTUAL.match(kind) is None


def is_html(content_type: str, text: str) -> bool:
    """Whether `output_format` has anything to do here: JSON, say, is handed over as it is."""
    kind = _kind(content_type)
    return HTML.match(kind) is not None if kind else text.lstrip()[:1] == "<"


def decode(content_type: str, body: bytes) -> str:
    """Text in the target's charset: byte order mark, header, meta tag or XML declaration, UTF-8, and at last windows-1252, as browsers do."""
    for mark, name in _MARKS:
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


def to_text(html: str) -> str:
    """The page as a reader sees it, a line for each block."""
    tree = _seen(html)
    if tree.body is None:
        return ""
    for node in tree.css(BLOCKS):
        node.insert_before(_BREAK)
        node.insert_after(_BREAK)
    lines = (" ".join(line.split()) for line in " ".join(tree.body.text().split()).split(_BREAK))
    return "\n".join(line for line in lines if line)


def to_markdown(html: str) -> str:
    """The page as Markdown, headings with #."""
    tree = _seen(html)
    text: str = markdownify((tree.body and tree.body.html) or "", heading_style="ATX")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


_CONVERTERS: dict[str, Callable[[str], str]] = {"text": to_text, "markdown": to_markdown}


def _seen(html: str) -> LexborHTMLParser:
    tree = LexborHTMLParser(html)
    tree.strip_tags(UNSEEN)
    return tree


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _decoded(body: bytes, label: str) -> str | None:
    # Browsers read these two as windows-1252 (WHATWG Encoding), and pages rely on it.
    name = "windows-1252" if label.lower() in ("iso-8859-1", "us-ascii") else label
    try:
        return body.decode(name, "replace")
    except LookupError:  # unknown, or a codec that makes no text
        return None
