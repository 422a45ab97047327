"""The runs in the ledger: create, read, cancel, and the writes that end a claimed run or give it its next action.

A *run* is one job of a client's: its id is what the client knows as the job's id.
The docstring of the package has the keys.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import assert_never

from redis import Redis

from longhaul.ledger.due import Claim, Clock, Due, NewRecord, Row, StoredResult
from longhaul.ledger.lua import ScriptCall
from longhaul.scraperapi.protocol import dump_json
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import AttemptDecision, Completed, GiveUp, RetryAt
from service.jobs.submission import RunRequest

SPACE = "longhaul:service:{runs}"
FETCH = "fetch"
WEBHOOK = "webhook"
NO_LANE = ""
"""The lane of a run that has no next action."""
TRANSITIONS = {
    "running": ("finished", "failed", "cancelled"),
    # An ended run can still be moved without changing its state: its webhook is tried again.
    "finished": ("finished",),
    "failed": ("failed",),
    "cancelled": (),
}
CREATED_AT_ONCE = 500
"""Runs written by one script, which takes some 5 ms of the server's time."""
DELIVERED_KEEP_SECONDS = 3600
"""How long a result that a webhook has delivered can still be read."""

_PAGE_FIELDS = [(field.name, field.default) for field in fields(FetchRequest) if field.name != "url"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A run as a client reads it; `result` is JSON text, empty where there is none."""

    fields: dict[str, str]
    result: str


class Runs:
    """All runs. `retention`, `read_grace` and `retry_for` in seconds; `clock` (epoch seconds) replaces the ledger's
    time in tests.
    """

    def __init__(
        self, redis: Redis, *, retention: float, read_grace: float, retry_for: float, clock: Clock | None = None
    ) -> None:
        self.due = Due(
            redis, SPACE, TRANSITIONS, blobs=("request",), clock=clock, own=files("service.jobs") / "scripts"
        )
        self._redis = redis
        self._keep = math.ceil(retention)
        self._read_grace = read_grace
        self._retry_for = retry_for

    def create(self, requests: Sequence[RunRequest]) -> list[tuple[str, dict[str, str]]]:
        """Write the runs, due at once; id and fields of each, in order."""
        created = f"{time.time():.3f}"  # for the answer only: the record has the ledger's time
        made: list[tuple[str, dict[str, str]]] = []
        for start in range(0, len(requests), CREATED_AT_ONCE):
            chunk = requests[start : start + CREATED_AT_ONCE]
            records = [(str(uuid.uuid4()), _record(request)) for request in chunk]
            self.due.create(
                [
                    NewRecord(run_id, "running", FETCH, record, {"request": _request_blob(request)})
                    for (run_id, record), request in zip(records, chunk, strict=True)
                ]
            )
            made += [(run_id, record | {"state": "running", "created": created}) for run_id, record in records]
        return made

    def read(self, run_id: str) -> Reading | None:
        """The run; None where it is unknown or gone. The first reading of a result retrieves it."""
        (answer,) = self.due.run([self.due.calling("read_run", id=run_id, grace=self._read_grace)])
        if not answer:
            return None
        flat, result = answer
        return Reading(dict(zip(flat[::2], flat[1::2], strict=True)), result)

    def fields_of(self, run_id: str) -> dict[str, str]:
        """The run's fields, without retrieving anything; empty where it is unknown."""
        return self._redis.hgetall(f"{SPACE}:record:{run_id}")  # type: ignore[return-value]  # the connection decodes

    def result(self, run_id: str) -> str:
        """The run's result, without retrieving it; empty where there is none."""
        return str(self._redis.get(f"{SPACE}:result:{run_id}") or "")

    def cancel(self, run_id: str) -> dict[str, str] | None:
        """End a running run as cancelled, claimed or not; its fields afterwards, None where it is unknown."""
        while fields := self.fields_of(run_id):
            if fields["state"] != "running":
                return fields
            call = self.due.finishing(
                run_id, int(fields.get("fence", 0)), "cancelled", keep=self._keep, forget=("request",)
            )
            if self.due.write([call]) == ["finished"]:
                return fields | {"state": "cancelled"}
            # Another process claimed, moved or ended it in between: read it again.
        return None

    def claim_fetches(self, limit: int, lease: float, token: str = "") -> Claim:
        """Claim runs to fetch now; counts their attempts up."""
        return self.due.claim(FETCH, limit=limit, lease=lease, count="attempts", step=FETCH, token=token)

    def claim_deliveries(self, limit: int, lease: float, token: str = "") -> Claim:
        """Claim ended runs whose webhook is due now, with their results; counts their deliveries up."""
        return self.due.claim(
            WEBHOOK, limit=limit, lease=lease, count="deliveries", step=WEBHOOK, token=token, blobs=("result",)
        )

    def give_up_at(self, row: Row, request: RunRequest) -> float:
        """When the run's time is over, epoch seconds."""
        return float(row.fields["created"]) + min(request.timeout_seconds or self._retry_for, self._retry_for)

    def settling(self, row: Row, decision: AttemptDecision) -> ScriptCall:
        """The call that writes to a claimed run what was decided."""
        fence, callback = int(row.fields["fence"]), "callback" in row.fields
        match decision:
            case RetryAt(at=at, uncounted=uncounted):
                return self.due.moving(
                    *(row.id, fence, "running", FETCH, at),
                    set_fields={} if at is None else {"next": f"{at:.3f}"},
                    add={"attempts": -1} if uncounted else {},
                )
            case Completed(response=response):
                return self.due.finishing(
                    *(row.id, fence, "finished"),
                    keep=self._keep,
                    note=StoredResult(f"{SPACE}:result:{row.id}", response, self._keep),
                    next_lane=WEBHOOK if callback else NO_LANE,
                    forget=("request",),
                )
            case GiveUp(reason=reason):
                return self.due.finishing(
                    *(row.id, fence, "failed"),
                    keep=self._keep,
                    set_fields={"reason": reason},
                    next_lane=WEBHOOK if callback and "report" in row.fields else NO_LANE,
                    forget=("request",),
                )
            case _:
                assert_never(decision)

    def delivering(self, row: Row, at: float | None, *, uncounted: bool = False) -> ScriptCall:
        """The call that makes the webhook of an ended run due again at `at` (epoch seconds; None: never)."""
        lane = NO_LANE if at is None else WEBHOOK
        add = {"deliveries": -1} if uncounted else {}
        return self.due.moving(row.id, int(row.fields["fence"]), row.fields["state"], lane, at, add=add)

    def shorten_results(self, run_ids: Sequence[str]) -> None:
        """Keep the results that were delivered for `DELIVERED_KEEP_SECONDS` only."""
        pipe = self._redis.pipeline(transaction=False)
        for run_id in run_ids:
            pipe.expire(f"{SPACE}:result:{run_id}", min(DELIVERED_KEEP_SECONDS, self._keep))
        pipe.execute()


def request_of(row: Row) -> RunRequest:
    """The request of a claimed run, as far as fetching needs it."""
    blob = json.loads(row.blobs["request"])
    timeout = blob.pop("timeout_seconds", None)
    return RunRequest(FetchRequest(row.fields["url"], **blob), timeout, faults=row.fields.get("faults", ""))


def _record(request: RunRequest) -> dict[str, str]:
    record: dict[str, str] = {"url": request.page.url, "attempts": "0"}
    if request.meta is not None:
        record["meta"] = dump_json(request.meta).decode()
    if request.callback is not None:
        record["callback"] = request.callback
        if request.report_failure:
            record["report"] = "1"
    if request.faults:
        record["faults"] = request.faults
    return record


def _request_blob(request: RunRequest) -> str:
    """Only what differs from the defaults: most runs ask for nothing but a URL, and a million of them may wait."""
    blob: dict[str, object] = {
        name: value for name, default in _PAGE_FIELDS if (value := getattr(request.page, name)) not in (default, {})
    }
    if request.timeout_seconds is not None:
        blob["timeout_seconds"] = request.timeout_seconds
    return dump_json(blob).decode()
