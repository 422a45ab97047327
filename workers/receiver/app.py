"""The webhook receiver: `uvicorn workers.receiver.app:api`. A delivered result ends its job with the same `finish` as a
polled one.

It answers 2xx only after the event is in the ledger. What is delivered twice, late or after the job's end changes
nothing and gets a 2xx as well, so that the remote does not try again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from longhaul.errors import PreflightFailed
from longhaul.jobs.pushes import PushOutcome
from longhaul.ledger.connection import connect_loop
from longhaul.process.shutdown import server_quick_at_second_signal
from longhaul.scraperapi.crawl_models import NoEvent
from longhaul.work.callbacks import CallbackKind
from tasks.plumbing.runtime import runtime
from workers.app import app
from workers.lifecycle import check_ledger, collect_seldom, exit_with_reason
from workers.receiver.crawl_events import CrawlEvents
from workers.receiver.webhook_request import OK, body_of, document_of, password_of, refuse

log = structlog.get_logger()


async def receive_job(request: Request) -> Response:
    """`POST /jobs/<id>/<token>`: one job as its status URL gives it (contract: webhooks)."""
    job_id = request.path_params["job_id"]
    body = await _admitted(request.scope, request.receive, "job", job_id, request.path_params["token"])
    if isinstance(body, Response):
        return body
    document = await document_of(body)
    if not isinstance(document, dict):
        return refuse(400, document.words if isinstance(document, NoEvent) else "not an object")
    try:
        became = await run_in_threadpool(runtime().job_pushes.take, job_id, document)
    except RedisError as error:
        log.warning("a delivered result could not be stored; the remote will try again", job=job_id, error=str(error))
        return refuse(503, "the ledger does not answer")
    log.debug("delivered", job=job_id, status=document.get("status"), became=became.value)
    if became is PushOutcome.LATER:
        return refuse(503, "the results queue is full; the job's next poll fetches its result")
    return JSONResponse(OK)


async def receive_event(scope: Scope, receive: Receive, crawl_id: str, token: str) -> Response:
    """`POST /crawls/<id>/<token>`: one page, or the summary (contract: Crawler API)."""
    body = await _admitted(scope, receive, "crawl", crawl_id, token)
    return body if isinstance(body, Response) else await _events().receive(crawl_id, body)


async def health(_: Request) -> Response:
    """`GET /health`: 200 while the ledger answers, for only then an event can be stored."""
    try:
        await run_in_threadpool(runtime().redis.ping)
    except RedisError as error:
        return refuse(503, str(error))
    return JSONResponse(OK)


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    with exit_with_reason():
        await run_in_threadpool(check_ledger, runtime().settings)
        if runtime().settings.webhook_secret is None:
            # With an empty secret anybody could work out every address and its password.
            raise PreflightFailed("The receiver needs LONGHAUL_WEBHOOK_SECRET, the same as the workers'.")
    # Task events of delivered results go to Flower through this app.
    app.set_default()
    server_quick_at_second_signal()
    collect_seldom()
    log_no_addresses()
    yield
    await _redis().aclose()
    runtime().close()


async def _admitted(scope: Scope, receive: Receive, kind: CallbackKind, id_: str, token: str) -> bytes | Response:
    """The body of a request that may come in, or its refusal."""
    if not runtime().callbacks.admits(kind, id_, token, password_of(scope)):
        return refuse(404, "not found")
    body = await body_of(receive, runtime().settings.max_body_bytes)
    if body is None:
        return refuse(413, "longer than LONGHAUL_MAX_BODY_BYTES")
    return body


def log_no_addresses() -> None:
    """Keep addresses out of access logs at every level: whoever knows one may deliver to it."""
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


@cache
def _redis() -> Redis:
    return connect_loop(runtime().settings.redis_url)


@cache
def _events() -> CrawlEvents:
    return CrawlEvents(runtime().crawl_pushes, _redis())


_rest = Starlette(
    routes=[Route("/jobs/{job_id}/{token}", receive_job, methods=["POST"]), Route("/health", health)],
    lifespan=_lifespan,
)


async def api(scope: Scope, receive: Receive, send: Send) -> None:
    """The application. Events of crawls, of which a remote sends thousands a second, bypass the framework's layers:
    these would cost half as much as the event.
    """
    match scope["path"].split("/") if scope["type"] == "http" and scope["method"] == "POST" else ():
        case "", "crawls", crawl_id, token:
            # A sender that hangs up gets no answer.
            with suppress(ClientDisconnect):
                response = await receive_event(scope, receive, crawl_id, token)
                await response(scope, receive, send)
        case _:
            await _rest(scope, receive, send)
