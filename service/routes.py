"""The HTTP face: POST /jobs, POST /batchjobs, GET and DELETE /jobs/<id>, GET /health. Everything it says is JSON with a `status`."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Path, Query, Request
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scraperapi.errors import InvalidArgument
from scraperapi.models import Json
from scraperapi.protocol import dump_json
from service import documents, openapi
from service.dial import Cut, Dial, Garble, Refuse, Rename, Reply
from service.faults import dialled
from service.runs import Runs
from service.submission import Submission, key_of, read_batch, read_job, read_json
from service.ticker import Ticker
from service.unreliable import CutOff

LONGEST_BODY = 128 * 1024 * 1024
"""Bytes of a submission: 50,000 long URLs, and some."""
UNKNOWN = "no such job: its id is unknown, or its result was retrieved or is too old"

log = structlog.get_logger()

RunId = Annotated[str, Path(description="The `id` that POST gave.")]
Key = Annotated[str | None, Query(description="May be left out: the id is the credential. A wrong one is a 401.")]


@dataclass(frozen=True, slots=True)
class Face:
    """What the routes need. `keys`: accepted keys, none: any; `private`: private targets are fine; `dial`: None where it is off."""

    runs: Runs
    base: str
    keys: tuple[str, ...]
    private: bool
    dial: Dial | None
    wake: Callable[[], object]


def build(face: Face) -> FastAPI:
    """The web application."""
    ticker: list[Ticker] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ticker.append(Ticker(face.wake))
        async with ticker[0].running():
            yield

    api = FastAPI(title="Longhaul's self-hosted Async API", description=openapi.DESCRIPTION, version="1", lifespan=lifespan)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(InvalidArgument, _invalid)
    api.add_exception_handler(RedisError, _ledger_away)
    api.add_exception_handler(Exception, _broken)

    @api.post("/jobs", tags=["jobs"], responses=openapi.JOB, openapi_extra=openapi.SUBMISSION)
    async def submit(request: Request) -> Response:
        """Submit one scrape job."""
        answer = await run_in_threadpool(_submit, face, await _body(request), batch=False)
        ticker[0].nudge()
        return answer

    @api.post("/batchjobs", tags=["jobs"], responses=openapi.BATCH, openapi_extra=openapi.BATCH_SUBMISSION)
    async def submit_batch(request: Request) -> Response:
        """Submit up to 50,000 scrape jobs, which differ in nothing but their URL."""
        answer = await run_in_threadpool(_submit, face, await _body(request), batch=True)
        ticker[0].nudge()
        return answer

    @api.get("/jobs/{run_id}", tags=["jobs"], responses=openapi.STATUS)
    def look(run_id: RunId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803  (the contract's spelling)
        """Status, and result once it is there. **The first answer with a result is the last**: it is deleted."""
        _authorize(face, api_key or apiKey, required=False)
        return _look(face, run_id)

    @api.delete("/jobs/{run_id}", tags=["jobs"], responses=openapi.CANCELLED)
    def cancel(run_id: RunId, api_key: Key = None, apiKey: Key = None) -> Response:  # noqa: N803
        """Cancel a running job. One that has ended stays as it is, and its state is the answer."""
        _authorize(face, api_key or apiKey, required=False)
        fields = face.runs.cancel(run_id)
        if fields is None:
            raise HTTPException(404, UNKNOWN)
        return _json(dump_json(documents.present(face.base, run_id, fields)))

    @api.get("/health", tags=["upkeep"], responses=openapi.HEALTH)
    def health() -> Response:
        """200 while this process reaches its ledger and its broker and keeps waking the workers; 503 otherwise."""
        if not ticker[0].alive:
            raise HTTPException(503, "the ledger or the broker does not answer, or nothing wakes the workers")
        return _json(dump_json({"status": "ok"}))

    return api


def _submit(face: Face, body: bytes, *, batch: bool) -> Response:
    document = read_json(body)
    _authorize(face, key_of(document), required=True)
    submissions = read_batch(document, private=face.private) if batch else [read_job(document, private=face.private)]
    reply: Reply | None = None
    if face.dial is not None:
        submissions = [dialled(submission) for submission in submissions]
        reply = face.dial.on_post(submissions[0].url, submissions[0].faults)
    if isinstance(reply, Refuse):
        return _refusal(reply)
    answer = _json(_create(face, submissions, batch=batch))
    return CutOff(answer.body, kept=0) if isinstance(reply, Cut) else answer


def _create(face: Face, submissions: Sequence[Submission], *, batch: bool) -> bytes:
    accepted: list[Json] = [documents.present(face.base, run_id, fields) for run_id, fields in face.runs.create(submissions)]
    return dump_json(accepted if batch else accepted[0])


def _look(face: Face, run_id: str) -> Response:
    if face.dial is not None and "faults" in (fields := face.runs.peek(run_id)):
        reply = face.dial.on_get(run_id, fields)
        if reply is not None:
            return _faulty(face, run_id, fields, reply)
    reading = face.runs.read(run_id)
    if reading is None:
        raise HTTPException(404, UNKNOWN)
    return _json(documents.whole(face.base, run_id, reading.fields, reading.result))


def _faulty(face: Face, run_id: str, fields: dict[str, str], reply: Reply) -> Response:
    match reply:
        case Refuse():
            return _refusal(reply)
        case Garble():
            return _json(b'{"id": "' + run_id.encode() + b'", "status": "fini')
        case Rename():
            return _json(dump_json(documents.present(face.base, run_id, fields, status="pondering")))
        case Cut():
            whole = documents.whole(face.base, run_id, fields, face.runs.result(run_id))
            return CutOff(whole, kept=len(whole) // 2)


def _refusal(refuse: Refuse) -> Response:
    headers = {} if refuse.retry_after is None else {"retry-after": str(refuse.retry_after)}
    words = "the fault dial says so"
    if refuse.plain:
        return Response(words, refuse.status, headers, media_type="text/plain")
    return _json(documents.error(refuse.status, words), refuse.status, headers)


def _authorize(face: Face, key: str | None, *, required: bool) -> None:
    if not face.keys or (key is None and not required):
        return
    given = (key or "").encode()
    if not any(hmac.compare_digest(given, known.encode()) for known in face.keys):
        raise HTTPException(401, "apiKey is missing or is not known to this service")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise HTTPException(413, f"the body is longer than {LONGEST_BODY} bytes")
    return bytes(body)


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")


def _http_error(_: Request, error: Any) -> Response:
    return _json(documents.error(error.status_code, str(error.detail)), error.status_code, error.headers)


def _invalid(_: Request, error: Exception) -> Response:
    return _json(documents.error(400, str(error)), 400)


def _ledger_away(_: Request, error: Exception) -> Response:
    log.warning("the ledger does not answer", error=f"{type(error).__name__}: {error}")
    return _json(documents.error(503, "the service's ledger does not answer; try again"), 503, {"retry-after": "5"})


def _broken(_: Request, error: Exception) -> Response:
    log.error("unexpected", error=f"{type(error).__name__}: {error}")
    return _json(documents.error(500, "the service has met an error of its own"), 500)
