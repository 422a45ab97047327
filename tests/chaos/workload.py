"""The jobs and crawls that a run sends, and the result that each must have. Pure: the result follows from the job's
dial, the host name that tells the service which faults to play.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from service.faults.crawl_faults import page_of, site_for
from service.faults.words import binary_for, body_for, huge_for, object_for

QUEUES = ("chaos-a", "chaos-b")
TROUBLED = "troubled"
"""The account that sometimes gets a 429. Its pauses must not delay the other accounts."""
ACCOUNTS = ("default", "second")
MAX_RESUBMITS = 10


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job, and what must come of it. `weight`: how often it is drawn, relative to the others.

    `code` and `body`: of a finished result. `reason`: how the reason of a failed or expired one begins. `pushed`: None
    for every other job. `cancel`: a client cancels it once it is recorded. `until_deadline`: ends only at the deadline.
    `resubmitted`: the dial itself causes more than one submission.
    """

    dial: str
    weight: int
    statuses: tuple[str, ...] = ("finished",)
    body: Callable[[str], Any] = body_for
    code: int = 200
    reason: str = ""
    pushed: bool | None = None
    resubmit: int = MAX_RESUBMITS
    account: str = ""
    cancel: bool = False
    until_deadline: bool = False
    resubmitted: bool = False


REJECTED = "the remote rejected the request"
LOST = "the remote lost the result"
JOB_KINDS = (
    JobKind("ok", 30),
    JobKind("slow-1", 10),
    JobKind("slow-2", 10),
    JobKind("slow-4", 6),
    JobKind("flaky-1", 2),
    JobKind("get500-2", 4),
    JobKind("get503-1-1", 3),
    JobKind("get502-1.plain", 2),
    JobKind("notfound-1", 3, resubmitted=True),
    JobKind("cut-1", 4),
    JobKind("badjson-1", 3),
    JobKind("unknownstatus-2", 3),
    JobKind("duplicate", 3, pushed=True),
    JobKind("late-2", 3, pushed=True),
    JobKind("nowebhook", 3, pushed=True),
    JobKind("post500-1", 3, resubmitted=True),
    JobKind("post502-1.plain", 2, resubmitted=True),
    JobKind("post503-1", 3, resubmitted=True),
    JobKind("postcut-1", 3, resubmitted=True),
    JobKind("post429-1-1", 2, account=TROUBLED, resubmitted=True),
    JobKind("get429-1-1", 2, account=TROUBLED),
    # The 410 itself may be lost on its way; then the next poll finds the result.
    JobKind("get410-1", 2, ("expired", "finished"), reason=LOST, pushed=False, resubmit=1, resubmitted=True),
    JobKind("huge-1", 1, body=lambda url: huge_for(url, 1)),
    JobKind("binary", 3, body=lambda url: base64.b64encode(binary_for(url)).decode()),
    JobKind("object", 3, body=object_for),
    JobKind("status-404", 3, code=404),
    JobKind("status-403", 2, code=403),
    JobKind("fail", 5, ("failed",), reason="failed_due_to_timeout"),
    JobKind("post400", 3, ("failed",), reason=REJECTED),
    JobKind("expire", 3, ("expired",), reason=LOST, pushed=False, resubmit=0),
    JobKind("gone", 2, ("expired",), reason=LOST, pushed=False, resubmit=0),
    JobKind("never.ok", 2, ("cancelled",), cancel=True),
    JobKind("slow-3.ok", 3, ("cancelled", "finished"), cancel=True),
    JobKind("never", 4, ("expired",), reason="not finished within", until_deadline=True),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `batch`: the id of its batch, or its own id where it is sent alone."""

    id: str
    batch: str
    url: str
    kind: JobKind
    arguments: dict[str, Any]

    @property
    def pushed(self) -> bool:
        """Whether the remote pushes its result."""
        return "callback" not in self.arguments

    @property
    def digest(self) -> str:
        """The digest of the expected body."""
        return digest(self.kind.body(self.url))


@dataclass(frozen=True, slots=True)
class CrawlKind:
    """A kind of crawl. `lose_every`: the remote does not deliver every n-th page; 0: it delivers all. `waits`: it ends
    only when the grace for missing pages is over.
    """

    dial: str
    lose_every: int = 0
    cancel: bool = False
    waits: bool = False


CRAWL_KINDS = (
    CrawlKind("ok"),
    CrawlKind("ok"),
    CrawlKind("duplicate"),
    CrawlKind("shuffle-2"),
    CrawlKind("late-1"),
    CrawlKind("get500-2"),
    CrawlKind("post503-1"),
    CrawlKind("slow-1"),
    CrawlKind("nosummary", waits=True),
    CrawlKind("summaryfirst", waits=True),
    CrawlKind("lose-5", lose_every=5, waits=True),
    CrawlKind("ok", cancel=True),
)


@dataclass(frozen=True, slots=True)
class Crawl:
    """A crawl of a site with so many `pages`."""

    id: str
    url: str
    pages: int
    kind: CrawlKind
    arguments: dict[str, Any]

    @property
    def digests(self) -> dict[str, str]:
        """The expected digest of each page, by its URL."""
        return {url: digest(page_of(url, self.pages)[1]) for url in site_for(self.url)}

    @property
    def undelivered(self) -> int:
        """Pages that the remote counts and does not deliver."""
        return self.pages // self.kind.lose_every if self.kind.lose_every else 0


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything that a run sends. `messages` in the order of sending: a job, a batch, or a crawl each."""

    jobs: list[Job]
    crawls: list[Crawl]
    messages: list[list[Job] | Crawl] = field(default_factory=list)


def draw_workload(draw: random.Random, jobs: int, crawls: int, *, full: bool) -> Workload:
    """Draw a workload. `full`: with jobs that end only at the deadline, among the first tenth, and crawls that wait for
    missing pages.
    """
    kinds = [kind for kind in JOB_KINDS if full or not kind.until_deadline]
    crawl_kinds = [kind for kind in CRAWL_KINDS if full or not kind.waits]
    workload = Workload([], [])
    while len(workload.jobs) < jobs:
        size = min(jobs - len(workload.jobs), 1 if draw.random() < 0.7 else draw.randint(5, 60))
        batch = _uuid(draw)
        sent = []
        for at in range(size):
            number = len(workload.jobs) + at
            kind = draw.choices(kinds, [kind.weight for kind in kinds])[0]
            if kind.until_deadline and number > jobs / 10:
                kind = kinds[0]
            sent.append(_job(draw, batch if size == 1 else f"{batch}.{at}", batch, number, kind))
        workload.jobs.extend(sent)
        workload.messages.append(sent)
    for number in range(crawls):
        crawl = _crawl(draw, number, crawl_kinds[number % len(crawl_kinds)])
        workload.crawls.append(crawl)
        # Not at the very end: deliveries that are repeated or delayed take their time.
        workload.messages.insert(len(workload.messages) * number // (crawls + crawls // 4 + 1), crawl)
    return workload


def digest(body: Any) -> str:
    """The digest of a body as an envelope carries it."""
    text = body if isinstance(body, str) else json.dumps(body, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _job(draw: random.Random, job_id: str, batch: str, number: int, kind: JobKind) -> Job:
    pushed = draw.random() < 0.5 if kind.pushed is None else kind.pushed
    url = f"http://{kind.dial}.fault.invalid/{number}"
    arguments = {
        "queue": draw.choice(QUEUES),
        "account": kind.account or draw.choice(ACCOUNTS),
        "resubmit": kind.resubmit,
        "meta": {"n": number},
    }
    return Job(job_id, batch, url, kind, arguments if pushed else {**arguments, "callback": False})


def _crawl(draw: random.Random, number: int, kind: CrawlKind) -> Crawl:
    pages = 1000 if kind.cancel else draw.randint(5, 40)
    url = f"http://{kind.dial}.site-{pages}.fault.invalid/"
    arguments = {
        "start_url": url,
        "max_depth": 50,
        "queue": draw.choice(QUEUES),
        "account": draw.choice(ACCOUNTS),
        "meta": {"crawl": number},
    }
    return Crawl(_uuid(draw), url, pages, kind, arguments)


def _uuid(draw: random.Random) -> str:
    return str(UUID(int=draw.getrandbits(128), version=4))
