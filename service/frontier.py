"""The pages of crawls: taken under a lease, and settled. Knows how the scripts are called, and decides nothing.

A crawl goes level by level: a page's depth is the shortest way to it, whatever is fetched when. The end of a page's lease is its fence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.lua import Call, Value
from service.crawl_register import CRAWL, CrawlRegister

LINKS_AT_ONCE = 1000
"""Links in one script: some 2 ms of the server's time, and below what Lua can unpack."""
NOT_LANDED = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is the caller's until `ends`. Of the attempts before this one: how many there were, when the first was (epoch seconds;
    None where there was none), and how often a lease had ended without an outcome."""

    crawl: str
    run: int
    url: str
    ends: str
    depth: int
    attempts: int = 0
    first: float | None = None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim got: the ledger's time (epoch seconds), whether there is more for another round to take, and the pages."""

    now: float
    more: bool
    pages: list[Page]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a page ended: its `entry` in the summary (JSON), `cost` in credits, its event (JSON without the opening brace; None: nobody wants
    it) and after how many seconds it is told, of which every `lose`-th is lost; where it was redirected to, and links to crawl."""

    entry: bytes
    cost: int
    event: str | None
    fine: bool = True
    delay: float = 0.0
    lose: int = 0
    landed: str = NOT_LANDED
    links: Sequence[str] = ()


class Frontier:
    """All pages of all crawls. `per_host`: pages of one host at once in all rounds, `share` of these in one; `lease` in seconds."""

    def __init__(self, register: CrawlRegister, *, per_host: int, share: int, lease: float) -> None:
        self._register = register
        self.per_host = per_host
        self.share = min(share, per_host)
        self._lease = lease

    def claim(self, limit: int, token: str = "") -> Taken:
        """Take up to `limit` pages, for the round with this token."""
        return self.exchange((), limit, token)[1]

    def exchange(self, calls: Sequence[Call], limit: int, token: str = "") -> tuple[list[str], Taken]:
        """Write what has ended and take up to `limit` pages, in one round trip; what became of each call, and the pages."""
        claim = Call("crawl_claim", [self._now(), limit, self._lease, self.per_host, self.share, token])
        *written, (now, more, *rows) = self._register.lua.run_all([*calls, claim])
        return written, Taken(float(now), more == 1, [_page(*row) for row in rows])

    def write(self, calls: Sequence[Call]) -> list[str]:
        """Run calls in one round trip; what became of each."""
        return self._register.lua.run_all(calls) if calls else []

    def settling(self, page: Page, ending: Ending, token: str = "") -> list[Call]:
        """The calls that end a page; the last is the one whose answer counts: `settled`, or `stale`."""
        links, calls = list(ending.links), []
        while len(links) > LINKS_AT_ONCE:
            calls.append(Call("crawl_links", [self._now(), page.crawl, page.url, page.ends, *links[:LINKS_AT_ONCE]]))
            links = links[LINKS_AT_ONCE:]
        calls.append(
            Call(
                "crawl_settle",
                [
                    *(self._now(), page.crawl, page.url, page.ends, token, "completed" if ending.fine else "failed"),
                    *(ending.entry, ending.cost, ending.event or "", ending.delay, ending.lose, ending.landed),
                    *links,
                ],
            )
        )
        return calls

    def again(self, page: Page, at: float, attempts: int, first: float, rest_until: float | None = None, token: str = "") -> Call:
        """The call that has a page tried again at `at`; until `rest_until` no round asks its host for anything. Epoch seconds."""
        rest = "" if rest_until is None else f"{rest_until:.3f}"
        args = [self._now(), page.crawl, page.url, page.ends, token, f"{at:.3f}", attempts, f"{first:.3f}", page.lost, rest]
        return Call("crawl_again", args)

    def dispatch(self, size: int, most: int) -> list[str]:
        """Tokens of the rounds to start now."""
        return self._register.dispatch(CRAWL, size=size, bound=self.per_host, share=self.share, most=most, lease=self._lease)

    def _now(self) -> Value:
        return self._register.given_now()


def _page(crawl: str, run: str, url: str, ends: str, depth: int, tries: str) -> Page:
    if not tries:
        return Page(crawl, int(run), url, ends, depth)
    attempts, first, lost = tries.split()
    return Page(crawl, int(run), url, ends, depth, int(attempts), float(first), int(lost))
