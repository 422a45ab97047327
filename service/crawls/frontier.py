"""The pages of crawls: claimed under a lease, and settled. Knows how the scripts are called, and decides nothing.

A crawl goes level by level: a page's depth is the shortest way to it, whatever is fetched when. The end of a page's
lease is its fence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longhaul.ledger.lua import ScriptCall
from service.crawls.store import CRAWL, TOKEN_LIFE, ServiceCrawls

LINKS_AT_ONCE = 1000
"""Links in one script: some 2 ms of the server's time, and below what Lua can unpack."""
AHEAD = 3
"""Pages that a round takes for each of its slots, so that none stands idle while the ledger is asked for more."""


@dataclass(frozen=True, slots=True)
class FrontierPage:
    """A page that is the caller's until `ends`. Of the attempts before this one: how many there were, when the first
    was (epoch seconds; None where there was none), and how often a lease had ended without an outcome."""

    crawl: str
    run: int
    url: str
    ends: str
    depth: int
    attempts: int = 0
    first: float | None = None
    lost: int = 0

    @property
    def host(self) -> str:
        """The host, with its port, as the scripts name it."""
        return self.url.split("/", 3)[2].partition("?")[0]


@dataclass(frozen=True, slots=True)
class Grant:
    """How many slots of a host the round holds: pages that it may ask the host for at once, and not before
    `backoff_until` (epoch seconds).
    """

    host: str
    slots: int
    backoff_until: float


@dataclass(frozen=True, slots=True)
class ClaimedPages:
    """What a claim got: the ledger's time (epoch seconds), whether there is more for another round to take, the pages,
    and the slots of their hosts."""

    now: float
    more: bool
    pages: list[FrontierPage]
    grants: list[Grant]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a page ended: its `entry` in the summary (JSON), `cost` in credits, its event (JSON without the opening
    brace; None: nobody wants it) and after how many seconds it is delivered, of which every `lose`-th is lost; where
    it was redirected to (empty: it was not), until when its host wants no requests, as `Frontier.again` has it, and
    links to crawl."""

    entry: bytes
    cost: int
    event: str | None
    fine: bool = True
    delay: float = 0.0
    lose: int = 0
    redirected: str = ""
    backoff_until: float | None = None
    links: Sequence[str] = ()


class Frontier:
    """All pages of all crawls. `per_host`: slots of one host for all rounds, `share` of these for one; `lease` in
    seconds; `patience`: for how many seconds a page is tried."""

    def __init__(self, register: ServiceCrawls, *, per_host: int, share: int, lease: float, patience: float) -> None:
        self._register = register
        self.per_host = per_host
        self.share = min(share, per_host)
        self.lease = lease
        self._patience = patience

    def claim(self, limit: int, token: str = "") -> ClaimedPages:
        """Take up to `limit` pages, for the round with this token."""
        return self.exchange((), limit, token, {})[1]

    def exchange(
        self, calls: Sequence[ScriptCall], limit: int, token: str, held: Mapping[str, int]
    ) -> tuple[list[str], ClaimedPages]:
        """Write what has ended and take up to `limit` pages, in one round trip; what became of each call, and the
        pages. `held`: how many pages of each host the round still has; with none of a host it gives its slots back,
        unless it gets new ones."""
        claim = self._register.lua.call(
            "claim_pages",
            limit=limit,
            lease=self.lease,
            life=TOKEN_LIFE,
            per_host=self.per_host,
            share=self.share,
            ahead=AHEAD,
            token=token,
            patience=self._patience,
            held=[{"name": host, "pages": pages} for host, pages in held.items()],
        )
        *written, (now, more, grants, *rows) = self._register.lua.run_all([*calls, claim])
        granted = [
            Grant(host, slots, float(backoff_until))
            for host, slots, backoff_until in zip(grants[::3], grants[1::3], grants[2::3], strict=True)
        ]
        return written, ClaimedPages(float(now), more == 1, [_page(*row) for row in rows], granted)

    def write(self, calls: Sequence[ScriptCall]) -> list[str]:
        """Run calls in one round trip; what became of each."""
        return self._register.lua.run_all(calls) if calls else []

    def keep(self, page: FrontierPage, links: Sequence[str]) -> bool:
        """Write links of a page that is still taken, a thousand at a time; False where it is not the caller's any more.

        In a round trip of its own: a server that has forgotten one of two scripts would run the other first.
        """
        parts = [links[at : at + LINKS_AT_ONCE] for at in range(0, len(links), LINKS_AT_ONCE)]
        lua = self._register.lua
        calls = [lua.call("keep_links", id=page.crawl, url=page.url, ends=page.ends, links=part) for part in parts]
        return set(lua.run_all(calls)) <= {"kept"}

    def settling(self, page: FrontierPage, ending: Ending) -> ScriptCall:
        """The call that ends a page: `settled`, or `stale`. At most `LINKS_AT_ONCE` links; `keep` is for the others."""
        return self._register.lua.call(
            "settle_page",
            id=page.crawl,
            url=page.url,
            ends=page.ends,
            completed=ending.fine,
            entry=ending.entry,
            cost=ending.cost,
            event=ending.event,
            delay=ending.delay,
            lose=ending.lose,
            redirected=ending.redirected,
            backoff_until=ending.backoff_until,
            links=ending.links,
        )

    def again(
        self, page: FrontierPage, at: float, attempts: int, first: float, backoff_until: float | None = None
    ) -> ScriptCall:
        """The call that has a page tried again at `at`, after so many attempts; until `backoff_until` no round asks its
        host, and where that is 0, for twice as long as the time before. Epoch seconds."""
        tries = {"attempts": attempts, "first": f"{first:.3f}", "lost": page.lost}
        return self._register.lua.call(
            "retry_page", id=page.crawl, url=page.url, ends=page.ends, at=at, backoff_until=backoff_until, **tries
        )

    def giving_back(self, page: FrontierPage, at: float) -> ScriptCall:
        """The call that has a page that was not tried claimed by any round from `at` (epoch seconds) on."""
        tries = {"attempts": None, "first": "", "lost": ""}
        return self._register.lua.call(
            "retry_page", id=page.crawl, url=page.url, ends=page.ends, at=at, backoff_until=None, **tries
        )

    def dispatch(self, size: int, most: int) -> list[str]:
        """Tokens of the rounds to start now."""
        return self._register.dispatch(CRAWL, size=size, bound=self.per_host, share=self.share, most=most)


def _page(crawl: str, run: str, url: str, ends: str, depth: int, tries: str) -> FrontierPage:
    if not tries:
        return FrontierPage(crawl, int(run), url, ends, depth)
    attempts, first, lost = tries.split()
    return FrontierPage(crawl, int(run), url, ends, depth, int(attempts), float(first), int(lost))
