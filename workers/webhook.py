"""The webhook receiver: `uvicorn workers.webhook:api`. What the remote pushes goes through the very same `finish` as what a look finds.

2xx only after the event is in the ledger; whatever is pushed twice, late or after the job's end changes nothing and is a 2xx as well, so
that the remote does not try again for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.stopping import server_quick_at_second_signal
from jobs.callback import Kind
from jobs.flow import Pushed
from scraperapi.crawl_models import NoEvent
from scraperapi.errors import PreflightFailed
from tasks.runtime import runtime
from workers.app import app
from workers.crawl_events import CrawlEvents
from workers.lifecycle import check_ledger, exit_with_reason
from workers.pushed import body_of, document_of, password_of, refuse

log = structlog.get_logger()


async def receive_job(request: Request) -> Response:
    """`POST /jobs/<id>/<token>`: one job as its status URL gives it (contract: webhooks)."""
    job_id = request.path_params["job_id"]
    body = await _admitted(request, "job", job_id)
    if isinstance(body, Response):
        return body
    document = await document_of(body)
    if not isinstance(document, dict):
        return refuse(400, document.words if isinstance(document, NoEvent) else "not an object")
    try:
        became = await run_in_threadpool(runtime().flow.take_pushed, job_id, document)
    except RedisError as error:
        log.warning("a pushed result could not be stored; the remote will try again", job=job_id, error=str(error))
        return refuse(503, "the ledger does not answer")
    log.debug("pushed", job=job_id, status=document.get("status"), became=became.value)
    if became is Pushed.LATER:
        return refuse(503, "the results queue is full; the job's next look brings its result home")
    return JSONResponse({"status": "ok"})


async def receive_event(request: Request) -> Response:
    """`POST /crawls/<id>/<token>`: one page, or the summary (contract: Crawler API)."""
    body = await _admitted(request, "crawl", request.path_params["crawl_id"])
    return body if isinstance(body, Response) else await _events().receive(request, body)


async def health(_: Request) -> Response:
    """`GET /health`: 200 while the ledger answers, for only then can an event be taken."""
    try:
        await run_in_threadpool(runtime().redis.ping)
    except RedisError as error:
        return refuse(503, str(error))
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
    server_quick_at_second_signal()
    yield
    runtime().close()


async def _admitted(request: Request, kind: Kind, id_: str) -> bytes | Response:
    """The body of a push that may come in, or its refusal."""
    if not runtime().callbacks.admits(kind, id_, request.path_params["token"], password_of(request)):
        return refuse(404, "not found")
    body = await body_of(request, runtime().settings.max_body_bytes)
    if body is None:
        return refuse(413, "longer than LONGHAUL_MAX_BODY_BYTES")
    return body


@cache
def _events() -> CrawlEvents:
    return CrawlEvents(runtime().crawl_flow)


api = Starlette(
    routes=[
        Route("/jobs/{job_id}/{token}", receive_job, methods=["POST"]),
        Route("/crawls/{crawl_id}/{token}", receive_event, methods=["POST"]),
        Route("/health", health),
    ],
    lifespan=_lifespan,
)
