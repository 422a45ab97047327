"""The texts and schemas of the crawls' part of the OpenAPI page. The documents themselves are written in
`service.crawls.documents`.
"""

from __future__ import annotations

from typing import Any

from service.http.openapi import GONE, REFUSED, answer

_ORDER_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["api_key", "start_url", "url_regexp_include"],
    "properties": {
        "api_key": {"type": "string", "description": "apiKey is accepted as well."},
        "start_url": {"type": "string", "description": "The page at depth 0."},
        "max_depth": {
            "type": "integer",
            "minimum": 0,
            "description": "This or crawl_budget, or both: the first limit reached ends the crawl.",
        },
        "crawl_budget": {
            "type": "integer",
            "minimum": 1,
            "description": "Credits; a page costs 1 where it answers 200 or 404.",
        },
        "url_regexp_include": {
            "type": "string",
            "description": "Which links are crawled (RE2). `.*`: all pages of the site.",
        },
        "url_regexp_exclude": {"type": "string"},
        "api_params": {"type": "object", "description": "For every page, as apiParams of /jobs."},
        "callback": {"type": "object", "properties": {"type": {"const": "webhook"}, "url": {"type": "string"}}},
        "enabled": {"type": "boolean", "default": True, "description": "false: the crawl is kept, but does not run."},
        "schedule": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "interval": {"enum": ["once", "hourly", "daily", "weekly", "monthly"]},
            },
        },
        "additional_data": {"type": "object", "description": "Repeated in the summary."},
    },
}
_EXAMPLE = {
    "api_key": "API_KEY",
    "start_url": "https://example.com/",
    "max_depth": 2,
    "crawl_budget": 50,
    "url_regexp_include": ".*",
    "callback": {"type": "webhook", "url": "https://hooks.example.com/crawl"},
}
_ID = "e25c4cf9-b521-4f97-8e0d-ff2220756a76"
_PROGRESS_FIELDS: dict[str, Any] = {
    "crawler_job_id": {"type": "string"},
    "jobId": {"type": "string"},
    "status": {"enum": ["delayed", "running", "completed", "failed", "cancelled", "in delivery", "delivered"]},
    "done": {"type": "integer", "description": "Pages with an answer."},
    "failed": {"type": "integer", "description": "Pages without one."},
    "active": {"type": "integer", "description": "Pages that wait or are being fetched."},
    "jobCost": {"type": "integer", "description": "Credits so far."},
    "crawlBudget": {"type": ["integer", "null"]},
}
_PROGRESS_EXAMPLE = {
    "crawler_job_id": _ID,
    "jobId": _ID,
    "status": "running",
    "done": 12,
    "failed": 1,
    "active": 29,
    "jobCost": 12,
    "crawlBudget": 50,
}


def _example(description: str, properties: dict[str, Any], example: object) -> dict[str, Any]:
    shown = answer(description, {"type": "object", "properties": properties})
    shown["content"]["application/json"]["example"] = example
    return shown


ORDER: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _ORDER_SHAPE, "example": _EXAMPLE}}}
}
CREATED = REFUSED | {
    200: _example(
        "Accepted",
        {"status": {"const": "initiated"}, "jobId": {"type": "string", "format": "uuid"}},
        {"status": "initiated", "jobId": _ID},
    ),
    403: answer("The plan does not cover it", REFUSED["default"]["content"]["application/json"]["schema"]),
}
PROGRESS = GONE | {200: _example("How far it is", _PROGRESS_FIELDS, _PROGRESS_EXAMPLE)}
WHOLE = GONE | {
    200: _example(
        "How far it is, and what was ordered",
        _PROGRESS_FIELDS
        | {
            "start_url": {"type": "string"},
            "run": {"type": "integer"},
            "nextRunAt": {"type": "string", "format": "date-time"},
        },
        _PROGRESS_EXAMPLE | {"start_url": "https://example.com/", "max_depth": 2, "run": 1},
    )
}
CANCELLED = GONE | {
    200: _example(
        "It is not running any more",
        {"status": {"const": "OK"}, "message": {"type": "string"}},
        {"status": "OK", "message": f"Job ID: {_ID} has been cancelled"},
    )
}
