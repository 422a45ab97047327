"""The pages of crawls: claimed under a lease, and settled. Knows how the scripts are called, and decides nothing.

A crawl goes level by level: a page's depth is the shortest way to it, in whatever order pages are fetched. The end of a
page's lease is its fence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longhaul.ledger.lua import ScriptCall
from service.crawls.store import CRAWL, TOKEN_LIFE_SECONDS, ServiceCrawlStore

LINKS_AT_ONCE = 1000
"""Links in one script: some 2 ms of the server's time, and below what Lua can unpack."""
PAGES_PER_SLOT = 3
"""Pages that a round claims for each of its slots, so that no slot is idle while the round claims more."""


@dataclass(frozen=True, slots=True)
class FrontierPage:
    """A page that is the caller's until `lease_end` (epoch seconds, as text). Of the attempts before this one:
    `attempts`, how many; `first_attempt`, when (epoch seconds; None: there was none); `lost_leases`, how many leases
    ended without an outcome.
    """

    crawl_id: str
    run: int
    url: str
    lease_end: str
    depth: int
    attempts: int = 0
    first_attempt: float | None = None
    lost_leases: int = 0

    @property
    def host(self) -> str:
        """The host, with its port, as the scripts name it."""
        return self.url.split("/", 3)[2].partition("?")[0]


@dataclass(frozen=True, slots=True)
class SlotGrant:
    """How many slots of a host the round holds: pages that it may fetch from the host at once, and not before
    `backoff_until` (epoch seconds).
    """

    host: str
    slots: int
    backoff_until: float


@dataclass(frozen=True, slots=True)
class ClaimedPages:
    """The result of a claim: the ledger's time (epoch seconds), whether there is more for another round, the pages, and
    the slots of their hosts.
    """

    now: float
    more: bool
    pages: list[FrontierPage]
    grants: list[SlotGrant]


@dataclass(frozen=True, slots=True)
class PageEnd:
    """How a page ended. `entry`: in the summary (JSON); `cost` in credits; `event`: JSON without the opening brace,
    None: the crawl has no callback; `delay_seconds`: until the event is due; `lose_every`: every so many-th event is
    lost, 0: none; `redirected_to`: a URL, empty: not redirected; `backoff_until`: as `Frontier.retrying` has it;
    `links`: to crawl.
    """

    entry: bytes
    cost: int
    event: str | None
    completed: bool = True
    delay_seconds: float = 0.0
    lose_every: int = 0
    redirected_to: str = ""
    backoff_until: float | None = None
    links: Sequence[str] = ()


class Frontier:
    """All pages of all crawls. `per_host`: slots of one host for all rounds, `share` of these for one; `lease` in
    seconds; `retry_for`: seconds for which a page is tried.
    """

    def __init__(self, store: ServiceCrawlStore, *, per_host: int, share: int, lease: float, retry_for: float) -> None:
        self._store = store
        self._per_host = per_host
        self._share = min(share, per_host)
        self._lease = lease
        self._retry_for = retry_for

    def claim(self, limit: int, token: str = "") -> ClaimedPages:
        """Claim up to `limit` pages, for the round with this token."""
        return self.exchange((), limit, token, {})[1]

    def exchange(
        self, calls: Sequence[ScriptCall], limit: int, token: str, held: Mapping[str, int]
    ) -> tuple[list[str], ClaimedPages]:
        """Write what has ended and claim up to `limit` pages, in one round trip; what became of each call, and the
        pages. `held`: how many pages of each host the round still has. Where it has none of a host and claims none, it
        gives its slots back.
        """
        claim = self._store.lua.call(
            "claim_pages",
            limit=limit,
            lease=self._lease,
            life=TOKEN_LIFE_SECONDS,
            per_host=self._per_host,
            share=self._share,
            ahead=PAGES_PER_SLOT,
            token=token,
            patience=self._retry_for,
            held=[{"name": host, "pages": pages} for host, pages in held.items()],
        )
        *written, (now, more, grants, *rows) = self._store.lua.run_all([*calls, claim])
        granted = [
            SlotGrant(host, slots, float(backoff_until))
            for host, slots, backoff_until in zip(grants[::3], grants[1::3], grants[2::3], strict=True)
        ]
        return written, ClaimedPages(float(now), more == 1, [_page(*row) for row in rows], granted)

    def write(self, calls: Sequence[ScriptCall]) -> list[str]:
        """Run calls in one round trip; what became of each."""
        return self._store.lua.run_all(calls) if calls else []

    def keep_links(self, page: FrontierPage, links: Sequence[str]) -> bool:
        """Write links of a claimed page, a thousand at a time; False where the page is not the caller's any more.

        In a round trip of its own: a server that has forgotten one of two scripts would run the other first.
        """
        parts = [links[at : at + LINKS_AT_ONCE] for at in range(0, len(links), LINKS_AT_ONCE)]
        lua = self._store.lua
        calls = [
            lua.call("keep_links", id=page.crawl_id, url=page.url, ends=page.lease_end, links=part) for part in parts
        ]
        return set(lua.run_all(calls)) <= {"kept"}

    def settling(self, page: FrontierPage, end: PageEnd) -> ScriptCall:
        """The call that ends a page: `settled` or `stale`. At most `LINKS_AT_ONCE` links; write others with
        `keep_links` before.
        """
        return self._store.lua.call(
            "settle_page",
            id=page.crawl_id,
            url=page.url,
            ends=page.lease_end,
            completed=end.completed,
            entry=end.entry,
            cost=end.cost,
            event=end.event,
            delay=end.delay_seconds,
            lose=end.lose_every,
            redirected=end.redirected_to,
            backoff_until=end.backoff_until,
            links=end.links,
        )

    def retrying(
        self,
        page: FrontierPage,
        at: float,
        attempts: int,
        first_attempt: float,
        backoff_until: float | None = None,
    ) -> ScriptCall:
        """The call that makes a page due again at `at`, after so many attempts: `retried` or `stale`. No round asks its
        host until `backoff_until`; 0: for twice as long as the time before; None: there is no such pause. Times in
        epoch seconds.
        """
        tries = {"attempts": attempts, "first": f"{first_attempt:.3f}", "lost": page.lost_leases}
        return self._retry_call(page, at, backoff_until, tries)

    def giving_back(self, page: FrontierPage, at: float) -> ScriptCall:
        """The call that makes a page due again at `at` (epoch seconds) without counting an attempt."""
        return self._retry_call(page, at, None, {"attempts": None, "first": "", "lost": ""})

    def _retry_call(
        self, page: FrontierPage, at: float, backoff_until: float | None, tries: Mapping[str, object]
    ) -> ScriptCall:
        return self._store.lua.call(
            "retry_page",
            id=page.crawl_id,
            url=page.url,
            ends=page.lease_end,
            at=at,
            backoff_until=backoff_until,
            **tries,
        )

    def dispatch(self, size: int, most: int) -> list[str]:
        """Tokens of the rounds to start now."""
        return self._store.dispatch(CRAWL, size=size, bound=self._per_host, share=self._share, most=most)


def _page(crawl_id: str, run: str, url: str, lease_end: str, depth: int, tries: str) -> FrontierPage:
    if not tries:
        return FrontierPage(crawl_id, int(run), url, lease_end, depth)
    attempts, first, lost = tries.split()
    return FrontierPage(crawl_id, int(run), url, lease_end, depth, int(attempts), float(first), int(lost))
