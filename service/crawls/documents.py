"""The documents of a crawl: page events, summary, progress, as the contract's Crawler API page has them. Pure.

A page event is text without its opening brace and without the cost so far, which only the ledger knows when it writes
the event. Answers of targets and lists of pages are inserted as the JSON text that they are stored as.
"""

from __future__ import annotations

from collections.abc import Mapping

from longhaul.scraperapi.crawl_models import ONCE
from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from longhaul.timestamps import iso
from service.crawls.frontier import FrontierPage
from service.crawls.order import CrawlOrder
from service.crawls.store import CrawlSnapshot, RunLists

FINISHED = "finished"
"""The word for `completed` in page events and in the summary."""
_TIMES = {
    "createdAt": "created",
    "startedAt": "started",
    "endedAt": "ended",
    "deliveredAt": "delivered",
    "nextRunAt": "next",
}


def page_event(
    order: CrawlOrder, page: FrontierPage, attempts: int, cost: int, response: str | None, reason: str = ""
) -> str:
    """The event of one page: its `response` (JSON), or, where None, the reason of its failure."""
    completed = response is not None
    document: Json = {
        "url": page.url,
        "jobId": page.crawl_id,
        "status": FINISHED if completed else "failed",
        "credits": cost,
        "attempts": attempts,
    }
    document |= {"startUrl": order.start_url, "currentDepth": page.depth}
    if order.interval != ONCE:
        document["run"] = page.run
    if not completed:
        document["failReason"] = reason
    text = dump_json(document).decode()[1:]
    return f'{text[:-1]},"response":{response}}}' if completed else text


def completed_entry(url: str, cost: int) -> bytes:
    """The summary's entry of a page that has an answer."""
    return dump_json({"url": url, "cost": cost})


def failed_entry(url: str, reason: str) -> bytes:
    """The summary's entry of a page that has no answer."""
    return dump_json({"url": url, "failReason": reason})


def summary_document(order: CrawlOrder, crawl_id: str, fields: Mapping[str, str], lists: RunLists) -> bytes:
    """The last event of a run."""
    outcome = fields["outcome"]
    document: Json = {
        "jobId": crawl_id,
        "jobState": FINISHED if outcome == "completed" else outcome,
        "jobCost": int(fields["cost"]),
    }
    document["crawlBudget"] = order.budget
    if order.interval != ONCE:
        document["run"] = int(fields["run"])
    if order.additional is not None:
        document["additional_data"] = order.additional
    parts = [dump_json(document)[:-1].decode()]
    parts += [f'"completed":[{",".join(lists.completed)}]', f'"failed":[{",".join(lists.failed)}]']
    left = dump_json([{"url": url} for url in lists.left]).decode()
    return (",".join([*parts, f'"cancelled":{left}']) + "}").encode()


def progress_document(crawl_id: str, order: CrawlOrder, snapshot: CrawlSnapshot) -> Json:
    """How far a crawl is."""
    return {
        "crawler_job_id": crawl_id,
        "jobId": crawl_id,
        "status": snapshot.fields["state"],
        "done": snapshot.done,
        "failed": snapshot.failed,
        "active": snapshot.active,
        "jobCost": int(snapshot.fields["cost"]),
        "crawlBudget": order.budget,
    }


def whole_document(crawl_id: str, order: CrawlOrder, snapshot: CrawlSnapshot) -> Json:
    """How far a crawl is, and what was ordered, without what may be secret: the callback's address and the headers."""
    fields = snapshot.fields
    document = progress_document(crawl_id, order, snapshot)
    document |= {
        "start_url": order.start_url,
        "max_depth": order.max_depth,
        "crawl_budget": order.budget,
        "enabled": order.enabled,
    }
    document |= {"url_regexp_include": order.include, "url_regexp_exclude": order.exclude}
    document |= {"schedule": {"name": order.name, "interval": order.interval}, "run": int(fields["run"])}
    if order.additional is not None:
        document["additional_data"] = order.additional
    for name, field in _TIMES.items():
        if field in fields:
            document[name] = iso(float(fields[field]))
    if "outcome" in fields:
        document["outcome"] = fields["outcome"]
    return document
