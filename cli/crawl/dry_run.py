"""Which links of a page a crawl would follow, and by which rule: the rules of our own service's crawler, applied
without a crawl.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from longhaul.errors import LonghaulError, invalid
from longhaul.links.charset import decode, is_html
from longhaul.links.extract import normalised
from longhaul.links.scope import ExplainedLink, LinkVerdict
from longhaul.scraperapi.client import call
from longhaul.scraperapi.models import Interrupted, TooLarge, Unreachable
from longhaul.scraperapi.protocol import HttpRequest

MAX_BYTES = 20 * 1024 * 1024
TIMEOUT_SECONDS = 30.0
MAX_REDIRECTS = 20
MOVED = frozenset({301, 302, 303, 307, 308})


class PageUnavailable(LonghaulError):
    """The page cannot be fetched, so nothing can be said about its links."""


@dataclass(frozen=True, slots=True)
class DryRunPage:
    """A page as it was fetched: `url` after redirects; `html` is empty where the page is no HTML."""

    url: str
    status: int
    html: str


def fetch(page_url: str) -> DryRunPage:
    """Fetch the page from this machine, not through the remote. Raises `InvalidArgument` if it is no http(s) address,
    and `PageUnavailable`.
    """
    url = normalised(page_url)
    if url is None:
        raise invalid("page_url", page_url, "must be an http:// or https:// URL")
    for _ in range(MAX_REDIRECTS):
        answer = call(HttpRequest("GET", url), timeout=TIMEOUT_SECONDS, max_bytes=MAX_BYTES)
        match answer:
            case Unreachable(words) | Interrupted(words):
                raise PageUnavailable(f"{url} does not answer ({words})")
            case TooLarge(limit):
                raise PageUnavailable(f"{url} is longer than {limit} bytes")
        location = answer.headers.get("location")
        if answer.status not in MOVED or location is None:
            return DryRunPage(url, answer.status, _html(answer.headers.get("content-type", ""), answer.body))
        target = normalised(location, url)
        if target is None:
            raise PageUnavailable(f"{url} redirects to {location!r}, which is no http(s) address")
        url = target
    raise PageUnavailable(f"{page_url} redirects more than {MAX_REDIRECTS} times")


def conclusion(page: DryRunPage, found: Sequence[ExplainedLink]) -> str:
    """The verdicts in one sentence, for a person."""
    taken = sum(one.verdict is LinkVerdict.CRAWLED for one in found)
    words = (
        f"{taken} of {len(found)} links of {page.url} would be crawled, "
        "unless --depth or --budget ends the crawl before."
    )
    if not page.html:
        words = f"{page.url} is no HTML: it has no links."
    return words if page.status == HTTPStatus.OK else f"{words} It answered with {page.status}."


def _html(content_type: str, body: bytes) -> str:
    text = decode(content_type, body)
    return text if is_html(content_type, text) else ""
