"""Requests to the remote's crawler and its answers, as closed unions of frozen types (contract: Crawler API)."""

from __future__ import annotations

from dataclasses import dataclass, field

from longhaul.scraperapi.models import Accepted, Cancelled, Json, NoKey, NothingAsked, Refusal, TargetResponse

ONCE = "once"
INTERVALS = (ONCE, "hourly", "daily", "weekly", "monthly")


@dataclass(frozen=True, slots=True)
class CrawlRequest:
    """One crawl as the remote takes it: `POST /job` without key and callback. `crawl_budget` in credits; `interval`
    from `INTERVALS`, empty where there is no schedule.
    """

    start_url: str
    max_depth: int | None = None
    crawl_budget: int | None = None
    include: str = ".*"
    exclude: str = ""
    api_params: Json = field(default_factory=dict)
    enabled: bool = True
    interval: str = ""
    name: str = ""

    @property
    def recurring(self) -> bool:
        """Whether the remote runs it again and again."""
        return self.interval not in {"", ONCE}


@dataclass(frozen=True, slots=True)
class CrawlProgress:
    """How far a crawl is. Pages `done`, `failed` and `active`; `state`, `cost` and `budget` (credits) where the remote
    reports them.
    """

    done: int
    failed: int
    active: int
    state: str = ""
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class PageEvent:
    """One page event: a `response`, or the `reason` of its failure. `credits`: what the page cost; `run`: which one of
    a recurring crawl's, where the remote says it.
    """

    remote_id: str
    url: str
    depth: int
    credits: int
    attempts: int
    run: int | None = None
    response: TargetResponse | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SummaryEvent:
    """The last event of a crawl, or of one run of it: how many pages it has `done`, how many `failed`, and what they
    cost in credits.
    """

    remote_id: str
    state: str
    cost: int
    done: int
    failed: int
    run: int | None = None


@dataclass(frozen=True, slots=True)
class NoEvent:
    """What was pushed is neither a page nor a summary; `words` say why."""

    words: str


CreateSeen = Accepted | NothingAsked | NoKey | Refusal
ProgressSeen = CrawlProgress | NothingAsked | Refusal
CrawlCancelSeen = Cancelled | NothingAsked | Refusal
CrawlSeen = CreateSeen | ProgressSeen | CrawlCancelSeen
CrawlEvent = PageEvent | SummaryEvent | NoEvent
