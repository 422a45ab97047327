"""The end of a job or a crawl as a Celery task result: what `AsyncResult(id)` finds.

The script that ends the job writes its task result as well, so a waiting caller sees the end exactly when the envelope
is in its queue, and no crash can come between. It is what Celery's own Redis backend would write: `tests/contract`
compares it with a real `AsyncResult`.

A job that failed or expired is still a successful *task*: its result says how the job ended. `get()` returns the
envelope and does not raise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from longhaul.ledger.due import StoredResult
from longhaul.scraperapi.models import Json
from longhaul.work.envelope import without_body


@dataclass(frozen=True, slots=True)
class TaskResults:
    """`ttl`: for how many seconds a task result is kept."""

    ttl: int

    def make(self, task_id: str, document: Json) -> StoredResult:
        """The task result of a job or a crawl that ended with the envelope `document`."""
        meta = {
            "status": "SUCCESS",
            "result": without_body(document),
            "traceback": None,
            "children": [],
            "date_done": document["finishedAt"],
            "task_id": task_id,
        }
        return StoredResult(f"celery-task-meta-{task_id}", json.dumps(meta), self.ttl)
