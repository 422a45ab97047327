"""What every route of the service shares: who may ask, what is read, and JSON as the answer, also to what goes wrong."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Query, Request
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from longhaul.errors import InvalidArgument
from service.faults.dial import Refuse
from service.jobs import documents

LONGEST_BODY = 128 * 1024 * 1024
"""Bytes of a submission: 50,000 long URLs, and some."""

log = structlog.get_logger()

Key = Annotated[str | None, Query(description="May be left out: the id is the credential. A wrong one is a 401.")]


def authorize(keys: Sequence[str], key: str | None, *, required: bool) -> None:
    """A 401 for a key that is none of `keys`; where there are none, any will do. Not `required`: none at all is fine as
    well.
    """
    if not keys or (key is None and not required):
        return
    given = (key or "").encode()
    if not any(hmac.compare_digest(given, known.encode()) for known in keys):
        raise HTTPException(401, "apiKey is missing or is not known to this service")


async def read_body(request: Request) -> bytes:
    """The whole body; a 413 where it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise HTTPException(413, f"the body is longer than {LONGEST_BODY} bytes")
    return bytes(body)


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer of JSON that is already written."""
    return Response(body, status, headers, media_type="application/json")


def refusal(refuse: Refuse) -> Response:
    """The refusal that the fault dial wants."""
    headers = {} if refuse.retry_after is None else {"retry-after": str(refuse.retry_after)}
    words = "the fault dial says so"
    if refuse.plain:
        return Response(words, refuse.status, headers, media_type="text/plain")
    return json_answer(documents.error(refuse.status, words), refuse.status, headers)


def tell_errors_as_json(api: FastAPI) -> None:
    """Every error of `api` is a document with a `status`."""
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(InvalidArgument, _invalid)
    api.add_exception_handler(RedisError, _ledger_away)
    api.add_exception_handler(Exception, _broken)


def _http_error(_: Request, error: Any) -> Response:
    return json_answer(documents.error(error.status_code, str(error.detail)), error.status_code, error.headers)


def _invalid(_: Request, error: Exception) -> Response:
    return json_answer(documents.error(400, str(error)), 400)


def _ledger_away(_: Request, error: Exception) -> Response:
    log.warning("the ledger does not answer", error=f"{type(error).__name__}: {error}")
    return json_answer(
        documents.error(503, "the service's ledger does not answer; try again"), 503, {"retry-after": "5"}
    )


def _broken(_: Request, error: Exception) -> Response:
    log.error("unexpected", error=f"{type(error).__name__}: {error}")
    return json_answer(documents.error(500, "the service has met an error of its own"), 500)
