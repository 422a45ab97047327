"""The crawler's HTTP face: POST /job, GET and DELETE /job/<id>, GET /job/<id>/status."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from service.crawls import documents as crawl_documents
from service.crawls.order import CrawlOrder, CrawlOrderRules, forbidden_on_free, read_crawl_order
from service.crawls.store import CrawlSnapshot, ServiceCrawls
from service.faults import crawl_faults
from service.faults.dial import Cut, Dial, Garble, Refuse, Rename
from service.faults.truncated_response import CutOff
from service.http import crawl_openapi
from service.http.answers import Key, authorize, json_answer, read_body, refusal
from service.jobs.submission import key_of, read_json

UNKNOWN = "no such crawl: its id is unknown, or it is too old"

CrawlId = Annotated[str, Path(description="The `jobId` that POST gave.")]


@dataclass(frozen=True, slots=True)
class CrawlRouteDeps:
    """What the routes need. `keys`: accepted keys, none: any; `free`: those of them on the free plan; `dial`: None
    where it is off.
    """

    register: ServiceCrawls
    terms: CrawlOrderRules
    keys: tuple[str, ...]
    free: tuple[str, ...]
    dial: Dial | None


def add(api: FastAPI, face: CrawlRouteDeps, nudge: Callable[[], object]) -> None:
    """Give `api` the crawler's routes; `nudge` says, from the event loop, that there is new work."""

    @api.post("/job", tags=["crawls"], responses=crawl_openapi.CREATED, openapi_extra=crawl_openapi.ORDER)
    async def create(request: Request) -> Response:
        """Start a crawl. Its pages, and at last its summary, are pushed to `callback`."""
        answer = await run_in_threadpool(_create, face, await read_body(request))
        nudge()
        return answer

    @api.get("/job/{crawl_id}/status", tags=["crawls"], responses=crawl_openapi.PROGRESS)
    def progress(crawl_id: CrawlId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803  (the contract's spelling)
        """How far a crawl is."""
        authorize(face.keys, api_key or apiKey, required=False)
        return _look(face, crawl_id, crawl_documents.progress)

    @api.get("/job/{crawl_id}", tags=["crawls"], responses=crawl_openapi.WHOLE)
    def whole(crawl_id: CrawlId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803
        """How far a crawl is, and what was ordered."""
        authorize(face.keys, api_key or apiKey, required=False)
        return _look(face, crawl_id, crawl_documents.whole)

    @api.delete("/job/{crawl_id}", tags=["crawls"], responses=crawl_openapi.CANCELLED)
    def cancel(crawl_id: CrawlId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803
        """Cancel a crawl and its schedule. Nothing new is fetched from here on; a run that has ended stays as it ended."""
        authorize(face.keys, api_key or apiKey, required=False)
        if face.dial is not None and (order := face.register.order(crawl_id)) is not None:
            reply = face.dial.on_delete(crawl_id, order.faults)
            if reply is not None:
                return refusal(reply)
        if not face.register.cancel(crawl_id):
            raise HTTPException(404, UNKNOWN)
        return json_answer(dump_json({"status": "OK", "message": f"Job ID: {crawl_id} has been cancelled"}))


def _create(face: CrawlRouteDeps, body: bytes) -> Response:
    document = read_json(body)
    key = key_of(document)
    authorize(face.keys, key, required=True)
    order = read_crawl_order(document, face.terms)
    if key is not None and any(hmac.compare_digest(key.encode(), free.encode()) for free in face.free):
        words = forbidden_on_free(order)
        if words is not None:
            raise HTTPException(403, words)
    reply = None
    if face.dial is not None:
        order = crawl_faults.dialled(order)
        reply = face.dial.on_post(order.start_url, order.faults)
    if isinstance(reply, Refuse):
        return refusal(reply)
    answer = json_answer(dump_json({"status": "initiated", "jobId": face.register.create(order)}))
    return CutOff(answer.body, kept=0) if isinstance(reply, Cut) else answer


def _look(face: CrawlRouteDeps, crawl_id: str, write: Callable[[str, CrawlOrder, CrawlSnapshot], Json]) -> Response:
    seen, order = face.register.look(crawl_id), face.register.order(crawl_id)
    if seen is None or order is None:
        raise HTTPException(404, UNKNOWN)
    if face.dial is None:
        return json_answer(dump_json(write(crawl_id, order, seen)))
    document = crawl_faults.shown(order.faults, write(crawl_id, order, seen))
    match face.dial.on_get(crawl_id, {"faults": order.faults, "state": seen.fields["state"]}):
        case Refuse() as reply:
            return refusal(reply)
        case Garble():
            return json_answer(dump_json(document)[:-9])
        case Rename():
            return json_answer(dump_json(document | {"status": "pondering"}))
        case Cut() | None:  # there is no result that a cut could be about
            return json_answer(dump_json(document))
