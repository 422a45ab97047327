"""The webhook receiver: `uvicorn workers.webhook:api`. What the remote pushes goes through the very same `finish` as what a look finds.

2xx only after the event is in the ledger; whatever is pushed twice, late or after the job's end changes nothing and is a 2xx as well, so
that the remote does not try again for nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobs.flow import Pushed
from scraperapi.errors import PreflightFailed
from tasks.runtime import runtime
from workers.app import app
from workers.lifecycle import check_ledger, exit_with_reason

log = structlog.get_logger()


async def receive(request: Request) -> Response:  # noqa: PLR0911  (one line a refusal)
    """`POST /jobs/<id>/<token>`: one job as its status URL gives it (contract: webhooks)."""
    job_id, token = request.path_params["job_id"], request.path_params["token"]
    if not runtime().callbacks.admits(job_id, token, _password(request)):
        return _refuse(404, "not found")
    body = await _read(request, runtime().settings.max_body_bytes)
    if body is None:
        return _refuse(413, "the event is longer than LONGHAUL_MAX_BODY_BYTES; the job's next look will say so")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        return _refuse(400, f"not JSON: {error}")
    if not isinstance(document, dict):
        return _refuse(400, "not an object")
    try:
        became = await run_in_threadpool(runtime().flow.take_pushed, job_id, document)
    except RedisError as error:
        log.warning("a pushed result could not be stored; the remote will try again", job=job_id, error=str(error))
        return _refuse(503, "the ledger does not answer")
    log.debug("pushed", job=job_id, status=document.get("status"), became=became.value)
    if became is Pushed.LATER:
        return _refuse(503, "the results queue is full; the job's next look brings its result home")
    return JSONResponse({"status": "ok"})


async def health(_: Request) -> Response:
    """`GET /health`: 200 while the ledger answers, for only then can an event be taken."""
    try:
        await run_in_threadpool(runtime().redis.ping)
    except RedisError as error:
        return _refuse(503, str(error))
    return JSONResponse({"status": "ok"})


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    with exit_with_reason():
        await run_in_threadpool(check_ledger, runtime().settings)
        if runtime().settings.webhook_secret is None:
            # With an empty one anybody could work out every address and its password.
            raise PreflightFailed("The receiver needs LONGHAUL_WEBHOOK_SECRET, the same as the workers'.")
    # Flower is told of a pushed job's end through this app.
    app.set_default()
    yield
    runtime().close()


async def _read(request: Request, limit: int) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def _password(request: Request) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _refuse(status: int, words: str) -> Response:
    return JSONResponse({"status": "error", "statusCode": status, "error": words}, status_code=status)


api = Starlette(
    routes=[Route("/jobs/{job_id}/{token}", receive, methods=["POST"]), Route("/health", health)],
    lifespan=_lifespan,
)
