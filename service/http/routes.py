"""The routes of jobs and of the process: POST /jobs, POST /batchjobs, GET and DELETE /jobs/<id>, GET /health. Adds
those of crawls (`crawl_routes`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from service.faults.dial import Cut, Dial, Garble, Refuse, Rename, Reply
from service.faults.truncated_response import TruncatedResponse
from service.http import crawl_routes, openapi
from service.http.answers import answer_errors_as_json, json_answer, refusal
from service.http.request_body import Key, authorize, key_of, read_body, read_json
from service.http.ticker import Ticker
from service.jobs.documents import result_document, status_document
from service.jobs.runs import Runs
from service.jobs.submission import RunRequest, read_batch, read_job, with_faults

UNKNOWN = "no such job: its id is unknown, or its result was retrieved or is too old"

RunId = Annotated[str, Path(description="The `id` that POST gave.")]


@dataclass(frozen=True, slots=True)
class RouteDeps:
    """What the routes need. `public_url`: where clients reach the service; `keys`: accepted keys, none: any key passes;
    `private`: private targets are allowed; `dial`: None where it is off; `wake` starts rounds of the workers.
    """

    runs: Runs
    public_url: str
    keys: tuple[str, ...]
    private: bool
    dial: Dial | None
    wake: Callable[[], object]
    crawls: crawl_routes.CrawlRouteDeps


def build(deps: RouteDeps) -> FastAPI:
    """The web application."""
    ticker: list[Ticker] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ticker.append(Ticker(deps.wake))
        async with ticker[0].running():
            yield

    api = FastAPI(
        title="Longhaul's self-hosted Async and Crawler API",
        description=openapi.DESCRIPTION,
        version="1",
        lifespan=lifespan,
    )
    answer_errors_as_json(api)
    crawl_routes.add(api, deps.crawls, lambda: ticker[0].nudge())  # noqa: PLW0108  (made when the app starts)

    @api.post("/jobs", tags=["jobs"], responses=openapi.JOB, openapi_extra=openapi.SUBMISSION)
    async def submit(request: Request) -> Response:
        """Submit one scrape job."""
        answer = await run_in_threadpool(_submit, deps, await read_body(request), batch=False)
        ticker[0].nudge()
        return answer

    @api.post("/batchjobs", tags=["jobs"], responses=openapi.BATCH, openapi_extra=openapi.BATCH_SUBMISSION)
    async def submit_batch(request: Request) -> Response:
        """Submit up to 50,000 scrape jobs that differ only in their URL."""
        answer = await run_in_threadpool(_submit, deps, await read_body(request), batch=True)
        ticker[0].nudge()
        return answer

    @api.get("/jobs/{run_id}", tags=["jobs"], responses=openapi.STATUS)
    def read(run_id: RunId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803  (contract)
        """Status, and the result once it is there. **The first answer with a result is the last**: it is deleted."""
        authorize(deps.keys, api_key or apiKey, required=False)
        return _read(deps, run_id)

    @api.delete("/jobs/{run_id}", tags=["jobs"], responses=openapi.CANCELLED)
    def cancel(run_id: RunId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803
        """Cancel a running job. One that has ended stays as it is, and its state is the answer."""
        authorize(deps.keys, api_key or apiKey, required=False)
        fields = deps.runs.cancel(run_id)
        if fields is None:
            raise HTTPException(404, UNKNOWN)
        return json_answer(dump_json(status_document(deps.public_url, run_id, fields)))

    @api.get("/health", tags=["upkeep"], responses=openapi.HEALTH)
    def health() -> Response:
        """200 while this process reaches its ledger and its broker and keeps waking the workers; 503 otherwise."""
        if not ticker[0].alive:
            raise HTTPException(503, "the ledger or the broker does not answer, or nothing wakes the workers")
        return json_answer(dump_json({"status": "ok"}))

    return api


def _submit(deps: RouteDeps, body: bytes, *, batch: bool) -> Response:
    document = read_json(body)
    authorize(deps.keys, key_of(document), required=True)
    requests = read_batch(document, private=deps.private) if batch else [read_job(document, private=deps.private)]
    reply: Reply | None = None
    if deps.dial is not None:
        requests = [with_faults(request) for request in requests]
        reply = deps.dial.on_post(requests[0].page.url, requests[0].faults)
    if isinstance(reply, Refuse):
        return refusal(reply)
    answer = json_answer(_create(deps, requests, batch=batch))
    return TruncatedResponse(answer.body, kept=0) if isinstance(reply, Cut) else answer


def _create(deps: RouteDeps, requests: Sequence[RunRequest], *, batch: bool) -> bytes:
    accepted: list[Json] = [
        status_document(deps.public_url, run_id, fields) for run_id, fields in deps.runs.create(requests)
    ]
    return dump_json(accepted if batch else accepted[0])


def _read(deps: RouteDeps, run_id: str) -> Response:
    if deps.dial is not None and "faults" in (fields := deps.runs.fields_of(run_id)):
        reply = deps.dial.on_get(run_id, fields["faults"], finished=fields["state"] == "finished")
        if reply is not None:
            return _faulty(deps, run_id, fields, reply)
        if fields["state"] == "running":
            # It may end before it is read below, and then a fault of its result would not happen.
            return json_answer(dump_json(status_document(deps.public_url, run_id, fields)))
    reading = deps.runs.read(run_id)
    if reading is None:
        raise HTTPException(404, UNKNOWN)
    return json_answer(result_document(deps.public_url, run_id, reading.fields, reading.result))


def _faulty(deps: RouteDeps, run_id: str, fields: dict[str, str], reply: Reply) -> Response:
    match reply:
        case Refuse():
            return refusal(reply)
        case Garble():
            return json_answer(b'{"id": "' + run_id.encode() + b'", "status": "fini')
        case Rename():
            return json_answer(dump_json(status_document(deps.public_url, run_id, fields, status="pondering")))
        case Cut():
            whole = result_document(deps.public_url, run_id, fields, deps.runs.result(run_id))
            return TruncatedResponse(whole, kept=len(whole) // 2)
