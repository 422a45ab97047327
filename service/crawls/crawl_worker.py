"""What the two batch tasks of the crawls do, and what starts them. Knows no Celery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from service.crawls import crawler
from service.crawls import delivery as telling
from service.crawls.frontier import Frontier
from service.crawls.outbox import Outbox
from service.crawls.store import CRAWL, DELIVER, ServiceCrawls

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CrawlWorker:
    """Works off what is due. `start(lane, token)` sends the message that starts a round elsewhere; `stopping`: this
    process is to stop.
    """

    register: ServiceCrawls
    frontier: Frontier
    tidings: Outbox
    limits: crawler.PageLimits
    start: Callable[[str, str], None]
    stopping: Callable[[], bool] = lambda: False

    def wake(self) -> None:
        """Begin the runs whose time has come, and start as many rounds as there is work and room for. Repeating it
        changes nothing.
        """
        self.register.begin_due_runs()
        for token in self.frontier.dispatch(crawler.SIZE, self.limits.most):
            self.start(CRAWL, token)
        for token in self.tidings.dispatch(telling.SIZE, min(telling.MOST, self.limits.most)):
            self.start(DELIVER, token)

    def crawl(self, token: str) -> None:
        """One round of fetching pages; `token` as `start` was given it."""
        self._round(
            CRAWL, token, crawler.Crawler(self.register, self.frontier, self.limits, self.wake, self.stopping).crawl
        )

    def tell(self, token: str) -> None:
        """One round of pushing events; `token` as `start` was given it."""
        self._round(
            DELIVER, token, telling.Deliverer(self.register, self.tidings, self.limits.private, self.stopping).tell
        )

    def _round(self, step: str, token: str, work: Callable[[str], int]) -> None:
        count = 0
        try:
            if not self.stopping():
                count = work(token)
        finally:
            self.register.leave(step, token)
        if count:
            log.info("crawled" if step == CRAWL else "delivered", pieces=count)
            # What is left, or has become due meanwhile, need not wait for the tick.
            crawler.wake_safely(self.wake)
