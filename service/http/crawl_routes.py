"""The routes of crawls: POST /job, GET and DELETE /job/<id>, GET /job/<id>/status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from service.crawls.documents import progress_document, whole_document
from service.crawls.order import CrawlOrder, CrawlOrderRules, forbidden_on_free, read_crawl_order, with_faults
from service.crawls.store import CrawlSnapshot, ServiceCrawlStore
from service.faults.crawl_faults import faulty_progress
from service.faults.dial import Cut, Dial, Garble, Refuse, Rename
from service.faults.truncated_response import TruncatedResponse
from service.http import crawl_openapi
from service.http.answers import json_answer, refusal
from service.http.request_body import Key, authorize, is_one_of, key_of, read_body, read_json

UNKNOWN = "no such crawl: its id is unknown, or it is too old"

CrawlId = Annotated[str, Path(description="The `jobId` that POST gave.")]


@dataclass(frozen=True, slots=True)
class CrawlRouteDeps:
    """What the routes need. `keys`: accepted keys, none: any key passes; `free_keys`: those on the free plan; `dial`:
    None where it is off.
    """

    store: ServiceCrawlStore
    rules: CrawlOrderRules
    keys: tuple[str, ...]
    free_keys: tuple[str, ...]
    dial: Dial | None


def add(api: FastAPI, deps: CrawlRouteDeps, nudge: Callable[[], object]) -> None:
    """Give `api` the routes of crawls; `nudge` says, from the event loop, that there is new work."""

    @api.post("/job", tags=["crawls"], responses=crawl_openapi.CREATED, openapi_extra=crawl_openapi.ORDER)
    async def create(request: Request) -> Response:
        """Start a crawl. Its pages, and at the end its summary, are delivered to `callback`."""
        answer = await run_in_threadpool(_create, deps, await read_body(request))
        nudge()
        return answer

    @api.get("/job/{crawl_id}/status", tags=["crawls"], responses=crawl_openapi.PROGRESS)
    def progress(crawl_id: CrawlId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803  (contract)
        """How far a crawl is."""
        authorize(deps.keys, api_key or apiKey, required=False)
        return _read(deps, crawl_id, progress_document)

    @api.get("/job/{crawl_id}", tags=["crawls"], responses=crawl_openapi.WHOLE)
    def whole(crawl_id: CrawlId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803
        """How far a crawl is, and what was ordered."""
        authorize(deps.keys, api_key or apiKey, required=False)
        return _read(deps, crawl_id, whole_document)

    @api.delete("/job/{crawl_id}", tags=["crawls"], responses=crawl_openapi.CANCELLED)
    def cancel(crawl_id: CrawlId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803
        """Cancel a crawl and its schedule. Nothing new is fetched from now on; an ended run stays as it ended."""
        authorize(deps.keys, api_key or apiKey, required=False)
        if deps.dial is not None and (order := deps.store.order(crawl_id)) is not None:
            reply = deps.dial.on_delete(crawl_id, order.faults)
            if reply is not None:
                return refusal(reply)
        if not deps.store.cancel(crawl_id):
            raise HTTPException(404, UNKNOWN)
        return json_answer(dump_json({"status": "OK", "message": f"Job ID: {crawl_id} has been cancelled"}))


def _create(deps: CrawlRouteDeps, body: bytes) -> Response:
    document = read_json(body)
    key = key_of(document)
    authorize(deps.keys, key, required=True)
    order = read_crawl_order(document, deps.rules)
    if key is not None and is_one_of(deps.free_keys, key):
        reason = forbidden_on_free(order)
        if reason is not None:
            raise HTTPException(403, reason)
    reply = None
    if deps.dial is not None:
        order = with_faults(order)
        reply = deps.dial.on_post(order.start_url, order.faults)
    if isinstance(reply, Refuse):
        return refusal(reply)
    answer = json_answer(dump_json({"status": "initiated", "jobId": deps.store.create(order)}))
    return TruncatedResponse(answer.body, kept=0) if isinstance(reply, Cut) else answer


def _read(deps: CrawlRouteDeps, crawl_id: str, write: Callable[[str, CrawlOrder, CrawlSnapshot], Json]) -> Response:
    snapshot, order = deps.store.snapshot(crawl_id), deps.store.order(crawl_id)
    if snapshot is None or order is None:
        raise HTTPException(404, UNKNOWN)
    if deps.dial is None:
        return json_answer(dump_json(write(crawl_id, order, snapshot)))
    document = faulty_progress(order.faults, write(crawl_id, order, snapshot))
    match deps.dial.on_get(crawl_id, order.faults):
        case Refuse() as reply:
            return refusal(reply)
        case Garble():
            return json_answer(dump_json(document)[:-9])
        case Rename():
            return json_answer(dump_json(document | {"status": "pondering"}))
        case Cut() | None:  # a crawl has no result that a cut could be about
            return json_answer(dump_json(document))
