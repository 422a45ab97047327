"""Which pages belong to a crawl: one rule for each link of a page. Pure, but for a bounded memory of what it has
decided.

A site is a registrable domain: www.example.co.uk and shop.example.co.uk are one. Where there is none (an IP address,
localhost, a suffix under which anybody may register), it is the host with its port. An include expression that speaks
of full URLs lifts that bound and decides alone; one with a group `full_url` or `relative_url` finds the links itself,
in the page's HTML.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

from longhaul.errors import invalid
from longhaul.links.expressions import Expression, compiled
from longhaul.links.extract import ELSEWHERE, LONGEST, PageLinks, normalised, read_links

REMEMBERED = 10_000
"""Links whose address, or exclusion, is remembered: every page of a site has the same navigation."""


class LinkDecision(StrEnum):
    """Whether a link is crawled, and if not, by which rule. The rules are asked in this order."""

    NO_PAGE = "no http(s) address"
    OFF_SITE = "off the site"
    NOT_INCLUDED = "not in url_regexp_include"
    EXCLUDED = "in url_regexp_exclude"
    CRAWLED = "crawled"


@dataclass(frozen=True, slots=True)
class ExplainedLink:
    """One link: its normalised address, or as the page has it where it is no http(s) address."""

    url: str
    decision: LinkDecision


@dataclass(frozen=True, slots=True)
class Scope:
    """The rules of one crawl. `site`: what the links must share with the start page, None where the include expression
    decides alone.
    """

    site: str | None
    include: Expression
    exclude: Expression | None
    _remembered: dict[tuple[str, str], str | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, start_url: str, include: str, exclude: str | None = None) -> Scope:
        """The scope of a crawl; `exclude` empty or None excludes nothing. An `InvalidArgument` names the field that is
        wrong.
        """
        start = normalised(start_url)
        if start is None:
            raise invalid("start_url", start_url, "must be an http:// or https:// URL")
        expression = compiled("url_regexp_include", include)
        site = None if expression.carries_addresses else site_of(start)
        return cls(site, expression, compiled("url_regexp_exclude", exclude) if exclude else None)

    def decide(self, url: str) -> LinkDecision:
        """What becomes of a link to `url`, an absolute address; where the include expression finds the links itself, of
        one that it found.
        """
        address = normalised(url)
        return LinkDecision.NO_PAGE if address is None else self._decide_address(address)

    def follow(self, html: str, url: str) -> list[str]:
        """The pages to crawl next from the page at `url`: normalised, in document order, each once."""
        page = read_links(html, url)
        origin, directory = _parts(page.base)
        remembered = self._remembered
        crawled: dict[str, None] = {}
        for href in self._hrefs(html, page):
            if href.startswith(ELSEWHERE):
                continue
            key = (_relative_to(href, page.base, origin, directory), href)
            try:
                address = remembered[key]
            except KeyError:
                address = self._address_to_crawl(href, page.base)
                if len(remembered) >= REMEMBERED:
                    remembered.clear()
                if len(href) <= LONGEST:
                    remembered[key] = address
            if address is not None:
                crawled[address] = None
        return list(crawled)

    def explain(self, html: str, url: str) -> list[ExplainedLink]:
        """Every link of the page at `url`, each once, with its decision."""
        page = read_links(html, url)
        decisions: dict[str, LinkDecision] = {}
        for href in self._hrefs(html, page):
            address = normalised(href, page.base)
            decisions[address or href] = LinkDecision.NO_PAGE if address is None else self._decide_address(address)
        # Where the expression finds the links itself, those that it has not found.
        for href in page.hrefs if self.include.targets else ():
            address = normalised(href, page.base)
            decisions.setdefault(
                address or href, LinkDecision.NO_PAGE if address is None else LinkDecision.NOT_INCLUDED
            )
        return [ExplainedLink(address, decision) for address, decision in decisions.items()]

    def _hrefs(self, html: str, page: PageLinks) -> Iterable[str]:
        return self.include.found_in(html) if self.include.targets else page.hrefs

    def _address_to_crawl(self, href: str, base: str) -> str | None:
        address = normalised(href, base)
        return address if address is not None and self._decide_address(address) is LinkDecision.CRAWLED else None

    def _decide_address(self, address: str) -> LinkDecision:
        if self.site is not None and site_of(address) != self.site:
            return LinkDecision.OFF_SITE
        if not self.include.targets and not self.include.matches(address):
            return LinkDecision.NOT_INCLUDED
        if self.exclude is not None and self.exclude.matches(address):
            return LinkDecision.EXCLUDED
        return LinkDecision.CRAWLED


def site_of(address: str) -> str:
    """The site of a normalised address: its registrable domain, else its host, with its port where that is not the
    scheme's own.
    """
    return _site(address.split("/", 3)[2])


def _parts(base: str) -> tuple[str, str]:
    """The origin and the directory of an address; a slash in its query only makes the latter longer than it need be."""
    return "/".join(base.split("/", 3)[:3]), base.rpartition("/")[0]


def _relative_to(href: str, base: str, origin: str, directory: str) -> str:
    """As much of the base as decides where this href leads, so that it is remembered for all pages for which it leads
    to the same.
    """
    if href.startswith(("http://", "https://")):
        return ""
    first = href[:1]
    if first == "/":
        return origin
    # White space in front is dropped when it is resolved; ? and # keep the base's file, and so does "http:?" where the
    # base is http.
    return directory if first > " " and first not in "?#" and ":" not in href else base


@lru_cache(maxsize=REMEMBERED)
def _site(authority: str) -> str:
    host = authority.partition(":")[0]
    if host.rpartition(".")[2].isdigit():
        return authority
    # An IPv6 address ends, as far as this sees, at its first colon: one label, which has no domain.
    return _suffixes().privatesuffix(host) or authority


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
