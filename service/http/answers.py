"""Answers of all routes: JSON with a `status`, for errors as well."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI, Request
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from longhaul.errors import InvalidArgument
from longhaul.scraperapi.protocol import dump_json
from service.faults.dial import Refuse

log = structlog.get_logger()


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer whose JSON is already written."""
    return Response(body, status, headers, media_type="application/json")


def error_answer(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error. It has a `status` in its JSON because the vendor's client reads that of every answer."""
    return json_answer(dump_json({"status": "error", "statusCode": status, "error": message}), status, headers)


def refusal(refuse: Refuse) -> Response:
    """The error that the fault dial wants."""
    headers = {} if refuse.retry_after is None else {"retry-after": str(refuse.retry_after)}
    message = "the fault dial says so"
    if refuse.plain:
        return Response(message, refuse.status, headers, media_type="text/plain")
    return error_answer(refuse.status, message, headers)


def answer_errors_as_json(api: FastAPI) -> None:
    """Make every error of `api` a JSON document with a `status`."""
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(InvalidArgument, _invalid)
    api.add_exception_handler(RedisError, _ledger_away)
    api.add_exception_handler(Exception, _unexpected)


def _http_error(_: Request, error: Any) -> Response:
    return error_answer(error.status_code, str(error.detail), error.headers)


def _invalid(_: Request, error: Exception) -> Response:
    return error_answer(400, str(error))


def _ledger_away(_: Request, error: Exception) -> Response:
    log.warning("the ledger does not answer", error=f"{type(error).__name__}: {error}")
    return error_answer(503, "the service's ledger does not answer; try again", {"retry-after": "5"})


def _unexpected(_: Request, error: Exception) -> Response:
    log.error("unexpected error", error=f"{type(error).__name__}: {error}")
    return error_answer(500, "the service has met an unexpected error")
