"""Claimed crawls to calls, answers to what was seen: one call at a time, with requests. Knows the accounts' keys;
decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.ledger.quarantine import Crash, describe_crash
from longhaul.scraperapi import crawl_protocol as protocol
from longhaul.scraperapi.crawl_models import CrawlCancelSeen, CrawlProgress, CrawlSeen, CreateSeen, ProgressSeen
from longhaul.scraperapi.models import Malformed, NoKey, NotFound, NothingAsked, Rejected
from longhaul.scraperapi.protocol import HttpOutcome, HttpRequest

MakeCall = Callable[[HttpRequest], HttpOutcome]
"""Makes one call: `longhaul.scraperapi.client.call` with its bounds."""


@dataclass(frozen=True, slots=True)
class CrawlRemote:
    """The Crawler API at `base` for the accounts in `keys`. `callback_url(receiver, crawl id)` gives the address for
    events.
    """

    base: str
    keys: Mapping[str, str]
    call: MakeCall
    callback_url: Callable[[str, str], str]

    def act(
        self, step: CrawlStep, crawls: Sequence[Crawl], deadline: float, now: float
    ) -> Iterator[list[tuple[Crawl, CrawlSeen | Crash]]]:
        """Make the call of `step` for one crawl after the other; gives what was seen of each as soon as it is there.

        A crawl whose call cannot be made, or whose answer cannot be read, has a `Crash`. `deadline`: age in seconds at
        which a crawl is not created any more.
        """
        for crawl in crawls:
            try:
                seen: CrawlSeen | Crash = self._call(step, crawl, deadline, now)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is this crawl's fault)
                seen = Crash(crawl.id, crawl.fence, describe_crash("asking the remote", error))
            yield [(crawl, seen)]

    def create(self, crawl: Crawl, deadline: float, now: float) -> CreateSeen:
        """`POST /job`, but for what is older than `deadline` (seconds)."""
        if now >= crawl.created + deadline:
            return NothingAsked()
        if crawl.account not in self.keys:
            return NoKey()
        request = protocol.create(
            self.base, self.keys[crawl.account], crawl.request, self.callback_url(crawl.callback, crawl.id)
        )
        return protocol.read_created(self.call(request), now)

    def poll(self, crawl: Crawl, now: float) -> ProgressSeen:
        """`GET /job/<id>/status`, unless the summary is there."""
        if crawl.summary is not None or crawl.remote_id is None:
            return NothingAsked()
        seen = protocol.read_progress(self.call(protocol.progress(self.base, crawl.remote_id)), now)
        if not isinstance(seen, NotFound | Rejected | Malformed):
            return seen
        # Two clients of the vendor's ask there, a third document says here (contract: progress).
        elsewhere = protocol.read_progress(self.call(protocol.progress_elsewhere(self.base, crawl.remote_id)), now)
        return elsewhere if isinstance(elsewhere, CrawlProgress) else seen

    def cancel(self, crawl: Crawl, now: float) -> CrawlCancelSeen:
        """`DELETE /job/<id>`, where the remote has it."""
        return self.stop(crawl.remote_id, now) if crawl.remote_id else NothingAsked()

    def stop(self, remote_id: str, now: float) -> CrawlCancelSeen:
        """Cancel what goes on at the remote under this id, whether or not it is a crawl of ours."""
        return protocol.read_cancelled(self.call(protocol.cancel(self.base, remote_id)), now)

    def _call(self, step: CrawlStep, crawl: Crawl, deadline: float, now: float) -> CrawlSeen:
        match step:
            case CrawlStep.CREATE:
                return self.create(crawl, deadline, now)
            case CrawlStep.POLL:
                return self.poll(crawl, now)
            case CrawlStep.CANCEL:
                return self.cancel(crawl, now)
            case _:
                assert_never(step)
