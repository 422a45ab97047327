"""The envelopes of crawls: one for each page, one for each crawl (or each run of a recurring one). Keys are absent
where there is nothing.
"""

from __future__ import annotations

from hashlib import blake2b

from longhaul.crawls.crawl import Crawl
from longhaul.crawls.decider import Complete, CrawlEnd, EndRun, expected
from longhaul.scraperapi.crawl_models import PageEvent
from longhaul.scraperapi.models import Json
from longhaul.work.decisions import Cancel, Expire, Fail
from longhaul.work.envelope import end_state as end_without_result
from longhaul.work.envelope import history, target_fields
from longhaul.work.item import State


def page_key(page: PageEvent) -> str:
    """Identifies a page within its run, by address and depth (contract: a page has no id of its own)."""
    return blake2b(f"{page.depth} {page.url}".encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def page_envelope(crawl: Crawl, page: PageEvent, run: int) -> Json:
    """The envelope of one page of `crawl`; `run` counts the runs of a recurring one."""
    document: Json = {
        "id": f"{run_id(crawl, run)}.{page_key(page)}",
        "kind": "page",
        "crawlId": crawl.id,
        "status": (State.FAILED if page.response is None else State.FINISHED).value,
        "url": page.url,
        "depth": page.depth,
    }
    if crawl.request.recurring:
        document["run"] = run
    if crawl.meta is not None:
        document["meta"] = crawl.meta
    document |= {"failReason": page.reason} if page.response is None else target_fields(page.response)
    return document | {"credits": page.credits, "attempts": page.attempts, "remoteId": page.remote_id}


def end_state(decision: CrawlEnd | EndRun) -> State:
    """The state that a decision leaves a crawl in."""
    match decision:
        case Complete():
            return State.FINISHED
        case EndRun():
            return State.RUNNING
        case _:
            return end_without_result(decision)


def crawl_envelope(crawl: Crawl, decision: CrawlEnd | EndRun, now: float) -> Json:
    """The envelope of `crawl` as it, or one run of it, ends at `now` (epoch seconds).

    `done` and `failed` are the remote's counts of pages, `received` is ours: the page envelopes there are. `missing`
    says by how much they differ, and is absent where nobody knows.
    """
    status = State.FINISHED if isinstance(decision, EndRun) else end_state(decision)
    document: Json = {
        "id": run_id(crawl, crawl.run),
        "kind": "crawl",
        "crawlId": crawl.id,
        "status": status.value,
        "url": crawl.request.start_url,
    }
    if crawl.request.recurring:
        document["run"] = crawl.run
    if crawl.meta is not None:
        document["meta"] = crawl.meta
    reason = "" if isinstance(decision, Cancel) else decision.reason
    if reason:
        document["failReason" if isinstance(decision, Fail | Expire) else "note"] = reason
    counted, pages = crawl.summary or crawl.progress, expected(crawl)
    if counted is not None and pages is not None:
        document |= {"done": counted.done, "failed": counted.failed}
    document["received"] = crawl.arrived.pages
    if pages is not None and status is not State.CANCELLED:
        document["missing"] = max(0, pages - crawl.arrived.pages)
    document["credits"] = cost(crawl)
    if crawl.request.crawl_budget is not None:
        document["crawlBudget"] = crawl.request.crawl_budget
    if crawl.remote_id:
        document["remoteId"] = crawl.remote_id
    return document | history(crawl, crawl.attempts + (decision.attempts if isinstance(decision, Fail) else 0), now)


def cost(crawl: Crawl) -> int:
    """Credits of the present run: the highest of our count and the remote's two, for credits only grow."""
    counted = (crawl.summary.cost if crawl.summary else 0, (crawl.progress.cost if crawl.progress else None) or 0)
    return max(crawl.arrived.credits, *counted)


def run_id(crawl: Crawl, run: int) -> str:
    """The envelope's id of a crawl, or of one run of a recurring one."""
    return f"{crawl.id}.{run}" if crawl.request.recurring else crawl.id
