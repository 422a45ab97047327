"""What the system is loaded with, and what must come of it. Pure: a job's outcome is known from its words before it is
sent.
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
"""The account whose remote says 429 now and then: its pauses hold up nobody else."""
ACCOUNTS = ("default", "second")
MOST_LOSSES = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """Jobs of one sort. `cancel`: a caller cancels it once it is recorded; `late`: ends only at the deadline."""

    words: str
    weight: int
    statuses: tuple[str, ...] = ("finished",)
    body: Callable[[str], Any] = body_for
    code: int = 200
    reason: str = ""
    pushed: bool | None = None
    """None: every other one."""
    resubmit: int = MOST_LOSSES
    account: str = ""
    cancel: bool = False
    late: bool = False
    asked_again: bool = False
    """The dial itself makes the job be submitted more than once."""


REJECTED = "the remote rejected the request"
LOST = "the remote lost the result"
KINDS = (
    Kind("ok", 30),
    Kind("slow-1", 10),
    Kind("slow-2", 10),
    Kind("slow-4", 6),
    Kind("flaky-1", 2),
    Kind("get500-2", 4),
    Kind("get503-1-1", 3),
    Kind("get502-1.plain", 2),
    Kind("notfound-1", 3, asked_again=True),
    Kind("cut-1", 4),
    Kind("badjson-1", 3),
    Kind("unknownstatus-2", 3),
    Kind("duplicate", 3, pushed=True),
    Kind("late-2", 3, pushed=True),
    Kind("nowebhook", 3, pushed=True),
    Kind("post500-1", 3, asked_again=True),
    Kind("post502-1.plain", 2, asked_again=True),
    Kind("post503-1", 3, asked_again=True),
    Kind("postcut-1", 3, asked_again=True),
    Kind("post429-1-1", 2, account=TROUBLED, asked_again=True),
    Kind("get429-1-1", 2, account=TROUBLED),
    # The refusal itself may be lost on its way, and the next look finds the result.
    Kind("get410-1", 2, ("expired", "finished"), reason=LOST, pushed=False, resubmit=1, asked_again=True),
    Kind("huge-1", 1, body=lambda url: huge_for(url, 1)),
    Kind("binary", 3, body=lambda url: base64.b64encode(binary_for(url)).decode()),
    Kind("object", 3, body=object_for),
    Kind("status-404", 3, code=404),
    Kind("status-403", 2, code=403),
    Kind("fail", 5, ("failed",), reason="failed_due_to_timeout"),
    Kind("post400", 3, ("failed",), reason=REJECTED),
    Kind("expire", 3, ("expired",), reason=LOST, pushed=False, resubmit=0),
    Kind("gone", 2, ("expired",), reason=LOST, pushed=False, resubmit=0),
    Kind("never.ok", 2, ("cancelled",), cancel=True),
    Kind("slow-3.ok", 3, ("cancelled", "finished"), cancel=True),
    Kind("never", 4, ("expired",), reason="not finished within", late=True),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One job that is sent; `batch` is the id of the message it goes with, or its own."""

    id: str
    batch: str
    url: str
    kind: Kind
    arguments: dict[str, Any]

    @property
    def pushed(self) -> bool:
        """Whether the remote pushes its result."""
        return "callback" not in self.arguments

    @property
    def digest(self) -> str:
        """Of the body that must come."""
        return digest(self.kind.body(self.url))


@dataclass(frozen=True, slots=True)
class Site:
    """What a crawl is told to do. `lost`: every so many pages the remote does not tell of; 0: tells of all."""

    words: str
    lost: int = 0
    cancel: bool = False
    patient: bool = False
    """Ends only after the time for which pages are waited for."""


SITES = (
    Site("ok"),
    Site("ok"),
    Site("duplicate"),
    Site("shuffle-2"),
    Site("late-1"),
    Site("get500-2"),
    Site("post503-1"),
    Site("slow-1"),
    Site("nosummary", patient=True),
    Site("summaryfirst", patient=True),
    Site("lose-5", lost=5, patient=True),
    Site("ok", cancel=True),
)


@dataclass(frozen=True, slots=True)
class Crawl:
    """One crawl that is sent."""

    id: str
    url: str
    pages: int
    site: Site
    arguments: dict[str, Any]

    @property
    def digests(self) -> dict[str, str]:
        """Of each page that there is, by its address."""
        return {url: digest(page_of(url, self.pages)[1]) for url in site_for(self.url)}

    @property
    def untold(self) -> int:
        """Pages that the remote counts and does not tell of."""
        return self.pages // self.site.lost if self.site.lost else 0


@dataclass(frozen=True, slots=True)
class Cargo:
    """All that one run sends, in the order of sending."""

    jobs: list[Job]
    crawls: list[Crawl]
    shipments: list[list[Job] | Crawl] = field(default_factory=list)
    """One message each: a single job, a batch, or a crawl."""


def load(draw: random.Random, jobs: int, crawls: int, *, lasting: bool) -> Cargo:
    """Jobs and crawls; `lasting`: among them such as end at the deadline, in the first tenth, and crawls that are
    waited for.
    """
    kinds = [kind for kind in KINDS if lasting or not kind.late]
    sites = [site for site in SITES if lasting or not site.patient]
    cargo = Cargo([], [])
    while len(cargo.jobs) < jobs:
        size = min(jobs - len(cargo.jobs), 1 if draw.random() < 0.7 else draw.randint(5, 60))
        batch = _uuid(draw)
        sent = []
        for at in range(size):
            number = len(cargo.jobs) + at
            kind = draw.choices(kinds, [kind.weight for kind in kinds])[0]
            if kind.late and number > jobs / 10:
                kind = kinds[0]
            sent.append(_job(draw, batch if size == 1 else f"{batch}.{at}", batch, number, kind))
        cargo.jobs.extend(sent)
        cargo.shipments.append(sent)
    for number in range(crawls):
        crawl = _crawl(draw, number, sites[number % len(sites)])
        cargo.crawls.append(crawl)
        # Not among the last: what the remote tells twice or late takes its time.
        cargo.shipments.insert(len(cargo.shipments) * number // (crawls + crawls // 4 + 1), crawl)
    return cargo


def digest(body: Any) -> str:
    """Of a body as an envelope carries it."""
    text = body if isinstance(body, str) else json.dumps(body, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _job(draw: random.Random, job_id: str, batch: str, number: int, kind: Kind) -> Job:
    pushed = draw.random() < 0.5 if kind.pushed is None else kind.pushed
    url = f"http://{kind.words}.fault.invalid/{number}"
    arguments = {
        "queue": draw.choice(QUEUES),
        "account": kind.account or draw.choice(ACCOUNTS),
        "resubmit": kind.resubmit,
        "meta": {"n": number},
    }
    return Job(job_id, batch, url, kind, arguments if pushed else {**arguments, "callback": False})


def _crawl(draw: random.Random, number: int, site: Site) -> Crawl:
    pages = 1000 if site.cancel else draw.randint(5, 40)
    url = f"http://{site.words}.site-{pages}.fault.invalid/"
    arguments = {
        "start_url": url,
        "max_depth": 50,
        "queue": draw.choice(QUEUES),
        "account": draw.choice(ACCOUNTS),
        "meta": {"crawl": number},
    }
    return Crawl(_uuid(draw), url, pages, site, arguments)


def _uuid(draw: random.Random) -> str:
    return str(UUID(int=draw.getrandbits(128), version=4))
