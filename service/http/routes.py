"""The HTTP face: POST /jobs, POST /batchjobs, GET and DELETE /jobs/<id>, GET /health; `crawl_routes` has the crawler's.
Everything it says is JSON with a `status`."""

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
from service.faults.truncated_response import CutOff
from service.faults.words import dialled
from service.http import crawl_routes, openapi
from service.http.answers import Key, authorize, json_answer, read_body, refusal, tell_errors_as_json
from service.http.ticker import Ticker
from service.jobs import documents
from service.jobs.runs import Runs
from service.jobs.submission import RunRequest, key_of, read_batch, read_job, read_json

UNKNOWN = "no such job: its id is unknown, or its result was retrieved or is too old"

RunId = Annotated[str, Path(description="The `id` that POST gave.")]


@dataclass(frozen=True, slots=True)
class RouteDeps:
    """What the routes need. `keys`: accepted keys, none: any; `private`: private targets are fine; `dial`: None where
    it is off.
    """

    runs: Runs
    base: str
    keys: tuple[str, ...]
    private: bool
    dial: Dial | None
    wake: Callable[[], object]
    crawls: crawl_routes.CrawlRouteDeps


def build(face: RouteDeps) -> FastAPI:
    """The web application."""
    ticker: list[Ticker] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ticker.append(Ticker(face.wake))
        async with ticker[0].running():
            yield

    api = FastAPI(
        title="Longhaul's self-hosted Async and Crawler API",
        description=openapi.DESCRIPTION,
        version="1",
        lifespan=lifespan,
    )
    tell_errors_as_json(api)
    crawl_routes.add(api, face.crawls, lambda: ticker[0].nudge())  # noqa: PLW0108  (there is no ticker before the application starts)

    @api.post("/jobs", tags=["jobs"], responses=openapi.JOB, openapi_extra=openapi.SUBMISSION)
    async def submit(request: Request) -> Response:
        """Submit one scrape job."""
        answer = await run_in_threadpool(_submit, face, await read_body(request), batch=False)
        ticker[0].nudge()
        return answer

    @api.post("/batchjobs", tags=["jobs"], responses=openapi.BATCH, openapi_extra=openapi.BATCH_SUBMISSION)
    async def submit_batch(request: Request) -> Response:
        """Submit up to 50,000 scrape jobs, which differ in nothing but their URL."""
        answer = await run_in_threadpool(_submit, face, await read_body(request), batch=True)
        ticker[0].nudge()
        return answer

    @api.get("/jobs/{run_id}", tags=["jobs"], responses=openapi.STATUS)
    def look(run_id: RunId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803  (the contract's spelling)
        """Status, and result once it is there. **The first answer with a result is the last**: it is deleted."""
        authorize(face.keys, api_key or apiKey, required=False)
        return _look(face, run_id)

    @api.delete("/jobs/{run_id}", tags=["jobs"], responses=openapi.CANCELLED)
    def cancel(run_id: RunId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803
        """Cancel a running job. One that has ended stays as it is, and its state is the answer."""
        authorize(face.keys, api_key or apiKey, required=False)
        fields = face.runs.cancel(run_id)
        if fields is None:
            raise HTTPException(404, UNKNOWN)
        return json_answer(dump_json(documents.present(face.base, run_id, fields)))

    @api.get("/health", tags=["upkeep"], responses=openapi.HEALTH)
    def health() -> Response:
        """200 while this process reaches its ledger and its broker and keeps waking the workers; 503 otherwise."""
        if not ticker[0].alive:
            raise HTTPException(503, "the ledger or the broker does not answer, or nothing wakes the workers")
        return json_answer(dump_json({"status": "ok"}))

    return api


def _submit(face: RouteDeps, body: bytes, *, batch: bool) -> Response:
    document = read_json(body)
    authorize(face.keys, key_of(document), required=True)
    submissions = read_batch(document, private=face.private) if batch else [read_job(document, private=face.private)]
    reply: Reply | None = None
    if face.dial is not None:
        submissions = [dialled(submission) for submission in submissions]
        reply = face.dial.on_post(submissions[0].url, submissions[0].faults)
    if isinstance(reply, Refuse):
        return refusal(reply)
    answer = json_answer(_create(face, submissions, batch=batch))
    return CutOff(answer.body, kept=0) if isinstance(reply, Cut) else answer


def _create(face: RouteDeps, submissions: Sequence[RunRequest], *, batch: bool) -> bytes:
    accepted: list[Json] = [
        documents.present(face.base, run_id, fields) for run_id, fields in face.runs.create(submissions)
    ]
    return dump_json(accepted if batch else accepted[0])


def _look(face: RouteDeps, run_id: str) -> Response:
    if face.dial is not None and "faults" in (fields := face.runs.peek(run_id)):
        reply = face.dial.on_get(run_id, fields)
        if reply is not None:
            return _faulty(face, run_id, fields, reply)
        if fields["state"] == "running":
            # It may end before it is read below, and a fault that is about its result would be missed.
            return json_answer(dump_json(documents.present(face.base, run_id, fields)))
    reading = face.runs.read(run_id)
    if reading is None:
        raise HTTPException(404, UNKNOWN)
    return json_answer(documents.whole(face.base, run_id, reading.fields, reading.result))


def _faulty(face: RouteDeps, run_id: str, fields: dict[str, str], reply: Reply) -> Response:
    match reply:
        case Refuse():
            return refusal(reply)
        case Garble():
            return json_answer(b'{"id": "' + run_id.encode() + b'", "status": "fini')
        case Rename():
            return json_answer(dump_json(documents.present(face.base, run_id, fields, status="pondering")))
        case Cut():
            whole = documents.whole(face.base, run_id, fields, face.runs.result(run_id))
            return CutOff(whole, kept=len(whole) // 2)
