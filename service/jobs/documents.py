"""The documents that clients read, as the contract's Async API page has them. Pure; `fields` are a run's record.

A result is inserted as the JSON text that it was stored as: a body of many MiB is not parsed just to be written again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from longhaul.scraperapi.models import Json
from longhaul.scraperapi.protocol import dump_json
from longhaul.timestamps import iso


def status_document(public_url: str, run_id: str, fields: Mapping[str, str], status: str | None = None) -> Json:
    """A run without its result. `public_url`: where clients reach the service; `status` replaces the run's state."""
    state = fields["state"]
    document: Json = {
        "id": run_id,
        "status": status or state,
        "statusUrl": f"{public_url}/jobs/{run_id}",
        "url": fields["url"],
    }
    document["attempts"] = int(fields.get("attempts", 0))
    if state == "running":
        document["supposedToRunAt"] = iso(float(fields.get("next") or fields["created"]))
    if state == "failed":
        document["failReason"] = fields["reason"]
    if "meta" in fields:
        document["meta"] = json.loads(fields["meta"])
    return document


def result_document(public_url: str, run_id: str, fields: Mapping[str, str], result: str) -> bytes:
    """A run as JSON, with its result where it has one (`result` not empty)."""
    document = dump_json(status_document(public_url, run_id, fields))
    return document[:-1] + b',"response":' + result.encode() + b"}" if result else document
