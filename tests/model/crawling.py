"""A small model of the remote's crawler: what each call does there, and the events that it sends. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import HttpAnswer, HttpOutcome, HttpRequest
from tests.model.scraping import PLAIN, SPOILT, Luck

PAGES = 3
RUNS = 2
"""Of a recurring crawl: an event of a run before the last one belongs to none."""


@dataclass
class Site:
    """One crawl that the remote has taken. `done`: pages of its present run that are done; `state`: running, delivered,
    cancelled or lost.
    """

    remote_id: str
    url: str
    address: str
    recurring: bool
    state: str = "running"
    run: int = 1
    done: int = 0
    summed: bool = False


@dataclass
class Crawling:
    """`events`: all events that were ever made, each with the address that it goes to."""

    luck: Luck = Luck.GOOD
    sites: dict[str, Site] = field(default_factory=dict)
    events: list[tuple[str, Json]] = field(default_factory=list)

    def call(self, request: HttpRequest) -> HttpOutcome:
        """As `longhaul.scraperapi.client.call`."""
        luck, self.luck = self.luck, Luck.GOOD
        return PLAIN[luck] if luck in PLAIN else SPOILT.get(luck, self.act(request))

    def act(self, request: HttpRequest) -> HttpOutcome:
        if request.method == "POST":
            wanted = json.loads(request.body or b"")
            remote_id = f"remote-{len(self.sites) + 1}"
            self.sites[remote_id] = Site(
                remote_id, wanted["start_url"], wanted["callback"]["url"], "schedule" in wanted
            )
            return _answer({"status": "initiated", "jobId": remote_id})
        site = self.sites[request.url.removesuffix("/status").rpartition("/")[2]]
        if site.state == "lost":
            return HttpAnswer(404, {}, b"no such job")
        if request.method == "DELETE":
            site.state = "cancelled"
            return _answer({"status": "OK"})
        active = PAGES - site.done if site.state == "running" else 0
        return _answer({"done": site.done, "failed": 0, "active": active, "status": site.state, "jobCost": site.done})

    def advance(self, site: Site) -> None:
        """Crawl one page and make its event; after the last one the summary, and then perhaps the next run begins."""
        if site.done < PAGES:
            self._add_event(site, page(site, site.done))
            site.done += 1
            return
        urls = [page(site, at)["url"] for at in range(PAGES)]
        cost = {
            "jobState": "finished",
            "jobCost": PAGES,
            "completed": [{"url": url, "cost": 1} for url in urls],
            "failed": [],
            "cancelled": [],
        }
        self._add_event(site, cost)
        site.summed = True
        if site.recurring and site.run < RUNS:
            site.run, site.done, site.summed = site.run + 1, 0, False
        else:
            site.state = "delivered"

    def running(self) -> list[Site]:
        return [site for site in self.sites.values() if site.state == "running"]

    def _add_event(self, site: Site, event: Json) -> None:
        self.events.append(
            (site.address, {"jobId": site.remote_id} | event | ({"run": site.run} if site.recurring else {}))
        )


def page(site: Site, at: int) -> Json:
    """The `at`-th page of a site, as its event has it; the last one fails."""
    event: Json = {
        "url": f"{site.url}{at}",
        "status": "finished",
        "credits": 1,
        "attempts": 1,
        "currentDepth": min(at, 1),
    }
    if at == PAGES - 1:
        return event | {"status": "failed", "failReason": "no such host"}
    return event | {
        "response": {"headers": {"sa-statuscode": "200"}, "body": f"body of {site.url}{at}", "statusCode": 200}
    }


def _answer(document: Json) -> HttpAnswer:
    return HttpAnswer(200, {}, json.dumps(document).encode())
