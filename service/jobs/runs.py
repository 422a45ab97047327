"""The runs in the ledger: create, read, cancel, and the writes that end a claimed run or give it its next action.

The package's docstring has the keys.
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
from service.fetching.retry_policy import AttemptDecision, Completed, GiveUp, RetryAt
from service.jobs.submission import RunRequest

SPACE = "longhaul:service:{runs}"
FETCH = "fetch"
WEBHOOK = "webhook"
NOWHERE = ""
"""The lane of what has no next action."""
TRANSITIONS = {
    "running": ("finished", "failed", "cancelled"),
    # An ended run may still be moved within its state: its webhook is tried again.
    "finished": ("finished",),
    "failed": ("failed",),
    "cancelled": (),
}
CREATED_AT_ONCE = 500
"""Runs written by one script, some 5 ms of the server's time."""
DELIVERED_KEEP = 3600
"""Seconds for which a result that a webhook has delivered can still be read."""

_IN_RECORD = {"url", "meta", "callback", "report_failure", "faults"}
_IN_REQUEST = [(field.name, field.default) for field in fields(RunRequest) if field.name not in _IN_RECORD]


@dataclass(frozen=True, slots=True)
class Reading:
    """A run as a reader gets it; `result` is JSON text, empty where the run has none to give."""

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

    def create(self, submissions: Sequence[RunRequest]) -> list[tuple[str, dict[str, str]]]:
        """Write the runs, due at once; id and fields of each, in order."""
        created = f"{time.time():.3f}"  # for the answer only; the record has the ledger's own time
        made: list[tuple[str, dict[str, str]]] = []
        for start in range(0, len(submissions), CREATED_AT_ONCE):
            chunk = submissions[start : start + CREATED_AT_ONCE]
            records = [(str(uuid.uuid4()), _record(submission)) for submission in chunk]
            self.due.create(
                [
                    NewRecord(run_id, "running", FETCH, record, {"request": _request(submission)})
                    for (run_id, record), submission in zip(records, chunk, strict=True)
                ]
            )
            made += [(run_id, record | {"state": "running", "created": created}) for run_id, record in records]
        return made

    def read(self, run_id: str) -> Reading | None:
        """The run; None where nobody knows it (any more). The first reading of a result retrieves it."""
        (answer,) = self.due.run([self.due.calling("read_run", id=run_id, grace=self._read_grace)])
        if not answer:
            return None
        flat, result = answer
        return Reading(dict(zip(flat[::2], flat[1::2], strict=True)), result)

    def peek(self, run_id: str) -> dict[str, str]:
        """The run's fields, without retrieving anything; empty where nobody knows it."""
        fields: dict[str, str] = self._redis.hgetall(f"{SPACE}:record:{run_id}")  # type: ignore[assignment]  # the connection decodes
        return fields

    def result(self, run_id: str) -> str:
        """The run's result, without retrieving it; empty where it has none."""
        return str(self._redis.get(f"{SPACE}:result:{run_id}") or "")

    def cancel(self, run_id: str) -> dict[str, str] | None:
        """End a running run as cancelled, claimed or not; its fields afterwards, None where nobody knows it."""
        while fields := self.peek(run_id):
            if fields["state"] != "running":
                return fields
            call = self.due.finishing(
                run_id, int(fields.get("fence", 0)), "cancelled", keep=self._keep, forget=("request",)
            )
            if self.due.write([call]) == ["finished"]:
                return fields | {"state": "cancelled"}
            # Somebody claimed, moved or ended it in between: look again.
        return None

    def claim_fetches(self, limit: int, lease: float, token: str = "") -> Claim:
        """Runs to try now; counts their attempts up."""
        return self.due.claim(FETCH, limit=limit, lease=lease, count="attempts", step=FETCH, token=token)

    def claim_deliveries(self, limit: int, lease: float, token: str = "") -> Claim:
        """Ended runs whose webhook is to be tried now, with their results; counts the tries up."""
        return self.due.claim(
            WEBHOOK, limit=limit, lease=lease, count="deliveries", step=WEBHOOK, token=token, blobs=("result",)
        )

    def give_up_at(self, row: Row, submission: RunRequest) -> float:
        """When the run's time is over, epoch seconds."""
        return float(row.fields["created"]) + min(submission.timeout or self._retry_for, self._retry_for)

    def settling(self, row: Row, verdict: AttemptDecision) -> ScriptCall:
        """The call that does to a claimed run what its verdict says."""
        fence, callback = int(row.fields["fence"]), "callback" in row.fields
        match verdict:
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
                    next_lane=WEBHOOK if callback else NOWHERE,
                    forget=("request",),
                )
            case GiveUp(reason=reason):
                return self.due.finishing(
                    *(row.id, fence, "failed"),
                    keep=self._keep,
                    set_fields={"reason": reason},
                    next_lane=WEBHOOK if callback and "report" in row.fields else NOWHERE,
                    forget=("request",),
                )
            case _:
                assert_never(verdict)

    def delivering(self, row: Row, at: float | None, *, uncounted: bool = False) -> ScriptCall:
        """The call that has the webhook of an ended run tried again at `at` (epoch seconds), or, where None, never."""
        lane = NOWHERE if at is None else WEBHOOK
        add = {"deliveries": -1} if uncounted else {}
        return self.due.moving(row.id, int(row.fields["fence"]), row.fields["state"], lane, at, add=add)

    def delivered(self, run_ids: Sequence[str]) -> None:
        """Results that a receiver has taken need not stay for days."""
        pipe = self._redis.pipeline(transaction=False)
        for run_id in run_ids:
            pipe.expire(f"{SPACE}:result:{run_id}", min(DELIVERED_KEEP, self._keep))
        pipe.execute()


def submission_of(row: Row) -> RunRequest:
    """What a claimed run is to fetch."""
    return RunRequest(url=row.fields["url"], faults=row.fields.get("faults", ""), **json.loads(row.blobs["request"]))


def _record(submission: RunRequest) -> dict[str, str]:
    record: dict[str, str] = {"url": submission.url, "attempts": "0"}
    if submission.meta is not None:
        record["meta"] = dump_json(submission.meta).decode()
    if submission.callback is not None:
        record["callback"] = submission.callback
        if submission.report_failure:
            record["report"] = "1"
    if submission.faults:
        record["faults"] = submission.faults
    return record


def _request(submission: RunRequest) -> str:
    """Only what is not the default: most runs ask for nothing but a URL, and a million of them may wait."""
    request = {
        name: value for name, default in _IN_REQUEST if (value := getattr(submission, name)) not in (default, {})
    }
    return dump_json(request).decode()
