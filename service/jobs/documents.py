"""The documents that clients read, as the contract's Async API page has them. Pure; `fields` are a run's record.

A result is put into its document as the JSON text that it was stored as: bodies of many MiB are not parsed to be
written out again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json


def present(base: str, run_id: str, fields: Mapping[str, str], status: str | None = None) -> Json:
    """A run without its result. `base`: where clients reach the service; `status` replaces the run's own word."""
    state = fields["state"]
    document: Json = {
        "id": run_id,
        "status": status or state,
        "statusUrl": f"{base}/jobs/{run_id}",
        "url": fields["url"],
    }
    document["attempts"] = int(fields.get("attempts", 0))
    if state == "running":
        document["supposedToRunAt"] = moment(float(fields.get("next") or fields["created"]))
    if state == "failed":
        document["failReason"] = fields["reason"]
    if "meta" in fields:
        document["meta"] = json.loads(fields["meta"])
    return document


def whole(base: str, run_id: str, fields: Mapping[str, str], result: str) -> bytes:
    """A run as JSON, with its result where it has one (`result` not empty)."""
    document = dump_json(present(base, run_id, fields))
    return document[:-1] + b',"response":' + result.encode() + b"}" if result else document


def error(status: int, words: str) -> bytes:
    """Every refusal: the vendor's client reads `["status"]` of whatever it gets."""
    return dump_json({"status": "error", "statusCode": status, "error": words})


def moment(seconds: float) -> str:
    """Epoch seconds as ISO 8601, UTC, in milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
