"""The Crawler API as pure functions: build a request, read an answer, read an event. No I/O, no clock.

Source of every rule: the contract's Crawler API page and the vendor's "Job Lifecycle" (`docs/reference/contract.md`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from longhaul.scraperapi import protocol
from longhaul.scraperapi.crawl_models import (
    CrawlCancelSeen,
    CrawlEvent,
    CrawlProgress,
    CrawlRequest,
    CreateSeen,
    NoEvent,
    PageEvent,
    ProgressSeen,
    SummaryEvent,
)
from longhaul.scraperapi.models import Accepted, AccountRefused, Failed, Finished, Json, Malformed, Rejected
from longhaul.scraperapi.protocol import JSON_HEADERS, HttpOutcome, HttpRequest, dump_json

FORBIDDEN = 403
MOST = 2**31
# The 403s that are about this crawl and not about its account (contract: free plan).
PLAN_LIMITS = ("max_depth", "depth", "schedul", "plan", "upgrade")


def create(base: str, api_key: str, request: CrawlRequest, callback_url: str) -> HttpRequest:
    """`POST /job`. What the caller left out is left out, so that the remote's own defaults apply; its key is spelt
    `api_key` here.
    """
    body: Json = {"api_key": api_key, "start_url": request.start_url, "url_regexp_include": request.include}
    if request.max_depth is not None:
        body["max_depth"] = request.max_depth
    if request.crawl_budget is not None:
        body["crawl_budget"] = request.crawl_budget
    if request.exclude:
        body["url_regexp_exclude"] = request.exclude
    if request.api_params:
        body["api_params"] = request.api_params
    if not request.enabled:
        body["enabled"] = False
    if request.interval:
        body["schedule"] = {"name": request.name, "interval": request.interval}
    body["callback"] = {"type": "webhook", "url": callback_url}
    return HttpRequest("POST", f"{base}/job", dump_json(body), JSON_HEADERS)


def cancel(base: str, remote_id: str) -> HttpRequest:
    """`DELETE /job/<id>`, without a credential, as documented."""
    return HttpRequest("DELETE", f"{base}/job/{quote(remote_id, safe='')}")


def progress(base: str, remote_id: str) -> HttpRequest:
    """`GET /job/<id>/status`, as two official clients ask."""
    return HttpRequest("GET", f"{base}/job/{quote(remote_id, safe='')}/status")


def progress_elsewhere(base: str, remote_id: str) -> HttpRequest:
    """`GET /job/<id>`, as a third document has it: for where the former is not there."""
    return HttpRequest("GET", f"{base}/job/{quote(remote_id, safe='')}")


def read_created(outcome: HttpOutcome, now: float) -> CreateSeen:
    """What an answer to `create` shows. A 403 for a limit of the plan is the crawl's own fault: `Rejected`."""
    seen = protocol.read_document(outcome, now)
    if (
        isinstance(seen, AccountRefused)
        and seen.status == FORBIDDEN
        and any(word in seen.words.lower() for word in PLAN_LIMITS)
    ):
        return Rejected(seen.words)
    if not isinstance(seen, dict):
        return seen
    remote_id = seen.get("jobId", seen.get("id"))
    return (
        Accepted(remote_id) if protocol.is_id(remote_id) else Malformed(f"created without a jobId: {repr(seen)[:80]}")
    )


def read_progress(outcome: HttpOutcome, now: float) -> ProgressSeen:
    """What an answer to `progress` shows."""
    seen = protocol.read_document(outcome, now)
    if not isinstance(seen, dict):
        return seen
    done, failed, active = (_count(seen.get(name)) for name in ("done", "failed", "active"))
    if done is None or failed is None or active is None:
        return Malformed(f"no progress in it: {repr(seen)[:80]}")
    # `status` is the crawl's state in our own service's answers; the vendor's clients show none.
    return CrawlProgress(done, failed, active, str(seen.get("status") or ""), _count(seen.get("jobCost")))


def read_cancelled(outcome: HttpOutcome, now: float) -> CrawlCancelSeen:
    """What an answer to `cancel` shows: any 2xx means that it crawls no more."""
    return protocol.read_cancelled(outcome, now)


def read_event(document: Any) -> CrawlEvent:
    """What was pushed to a crawl's callback: a page, or the summary."""
    if not isinstance(document, dict):
        return NoEvent("not an object")
    remote_id = document.get("jobId")
    if not protocol.is_id(remote_id):
        return NoEvent("no jobId in it")
    if "jobState" in document:
        return _summary(remote_id, document)
    url = document.get("url")
    if not isinstance(url, str) or not url:
        return NoEvent("neither a page, which has a url, nor a summary, which has a jobState")
    return _page(remote_id, url, document)


def _page(remote_id: str, url: str, document: Json) -> CrawlEvent:
    seen = protocol.read_job(document)
    if not isinstance(seen, Finished | Failed | Malformed):
        return NoEvent(f"a page whose status is {document.get('status')!r}: it must be finished or failed")
    response = seen.response if isinstance(seen, Finished) else None
    stated = _count(document.get("credits"))
    return PageEvent(
        remote_id,
        url,
        depth=_count(document.get("currentDepth")) or 0,
        credits=(response.credits if stated is None and response else stated) or 0,
        attempts=_count(document.get("attempts")) or 0,
        run=_count(document.get("run")),
        response=response,
        # A page that cannot be read still counts: refused, it would be missing.
        reason=seen.reason if isinstance(seen, Failed) else seen.words if isinstance(seen, Malformed) else "",
    )


def _summary(remote_id: str, document: Json) -> CrawlEvent:
    completed, failed = document.get("completed"), document.get("failed")
    if not isinstance(completed, list) or not isinstance(failed, list):
        return NoEvent("a summary without its lists of completed and failed pages")
    return SummaryEvent(
        remote_id,
        str(document["jobState"]),
        cost=_count(document.get("jobCost")) or 0,
        done=len(completed),
        failed=len(failed),
        run=_count(document.get("run")),
    )


def _count(value: Any) -> int | None:
    """A number that the ledger can count on with; anything else is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST else None
