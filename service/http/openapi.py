"""The texts and schemas of the jobs' part of the OpenAPI page. The documents themselves are written in
`service.jobs.documents`.
"""

from __future__ import annotations

from typing import Any

DESCRIPTION = """Speaks ScraperAPI's Async API and its Crawler API, so that its clients work here unchanged with this
address as their endpoint.

A job is retried on 429, 5xx and connection trouble until its time is over. A result can be read **once** (a setting
gives a grace time). Errors are JSON as well: `{"status": "error", "statusCode": 404, "error": "..."}`."""

_ERROR_SHAPE = {
    "type": "object",
    "properties": {"status": {"const": "error"}, "statusCode": {"type": "integer"}, "error": {"type": "string"}},
}
_JOB_SHAPE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["running", "finished", "failed", "cancelled"]},
        "statusUrl": {"type": "string"},
        "url": {"type": "string"},
        "attempts": {"type": "integer"},
        "supposedToRunAt": {"type": "string", "format": "date-time", "description": "The next attempt, while it runs."},
        "failReason": {"type": "string", "description": "Where it failed."},
        "meta": {"type": "object", "description": "As submitted."},
        "response": {
            "type": "object",
            "description": "Where it is finished.",
            "properties": {
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "statusCode": {"type": "integer", "description": "The target's: finished is not success."},
                "body": {"type": "string"},
                "base64EncodedBody": {"type": "string", "description": "In place of body, for binary targets."},
                "credits": {"type": "integer"},
            },
        },
    },
}
_FIELDS: dict[str, Any] = {
    "apiKey": {"type": "string", "description": "api_key is accepted as well."},
    "method": {"type": "string", "default": "GET"},
    "headers": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Sent with keep_headers; content-type always.",
    },
    "body": {"type": "string"},
    "meta": {"type": "object"},
    "callback": {"type": "object", "properties": {"type": {"const": "webhook"}, "url": {"type": "string"}}},
    "expectUnsuccessReport": {"type": "boolean", "default": False},
    "timeoutSec": {"type": "number", "description": "Bounds all attempts together."},
    "apiParams": {
        "type": "object",
        "properties": {
            "keep_headers": {"type": "boolean", "default": False},
            "follow_redirect": {"type": "boolean", "default": True},
            "retry_404": {"type": "boolean", "default": False},
            "binary_target": {"type": "boolean", "default": False},
            "device_type": {"enum": ["desktop", "mobile"], "default": "desktop"},
            "output_format": {"enum": ["text", "markdown"]},
            "max_cost": {"type": "number", "minimum": 1},
        },
    },
}


def _body(required: str, shape: dict[str, Any], example: object) -> dict[str, Any]:
    schema = {"type": "object", "required": ["apiKey", required], "properties": {required: shape, **_FIELDS}}
    content = {"application/json": {"schema": schema, "example": {"apiKey": "API_KEY", required: example}}}
    return {"requestBody": {"required": True, "content": content}}


def answer(description: str, shape: dict[str, Any]) -> dict[str, Any]:
    """The description of one answer of a route."""
    return {"description": description, "content": {"application/json": {"schema": shape}}}


SUBMISSION = _body("url", {"type": "string"}, "https://example.com/")
BATCH_SUBMISSION = _body(
    "urls", {"type": "array", "items": {"type": "string"}, "maxItems": 50_000}, ["https://example.com/"]
)

REFUSED: dict[int | str, dict[str, Any]] = {
    "default": answer("Anything else that goes wrong", _ERROR_SHAPE),
    400: answer("A field breaks a rule: the error names the field, the value and the rule", _ERROR_SHAPE),
    401: answer("The key is missing or not known", _ERROR_SHAPE),
}
"""Answers of any route."""
GONE: dict[int | str, dict[str, Any]] = {
    "default": REFUSED["default"],
    401: REFUSED[401],
    404: answer("Unknown id, or the result is gone", _ERROR_SHAPE),
}
"""Answers of a route with an id."""

JOB = REFUSED | {200: answer("Accepted", _JOB_SHAPE)}
BATCH = REFUSED | {200: answer("Accepted, in the order of `urls`", {"type": "array", "items": _JOB_SHAPE})}
STATUS = GONE | {200: answer("The job as it is now", _JOB_SHAPE)}
CANCELLED = GONE | {200: answer("The job as it is now: cancelled, or how it had ended", _JOB_SHAPE)}
HEALTH: dict[int | str, dict[str, Any]] = {
    200: answer("Healthy", {"type": "object", "properties": {"status": {"const": "ok"}}}),
    503: answer("Not healthy", _ERROR_SHAPE),
}
