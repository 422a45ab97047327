import json

import pytest

from longhaul.jobs.decider import Finish
from longhaul.jobs.envelope import envelope
from longhaul.work.decisions import Cancel, Expire, Fail
from tasks.plumbing.task_results import TaskResults
from tests.builders import START, a_job, finished


@pytest.mark.parametrize("decision", [Finish(finished("a large body").response), Fail("why"), Expire("late"), Cancel()])
def test_a_note_is_what_celery_would_have_stored_and_carries_no_body(decision):
    document = envelope(a_job(meta={"n": 1}), decision, START + 5)
    note = TaskResults(3600).make("job-1", document)
    assert (note.key, note.ttl) == ("celery-task-meta-job-1", 3600)
    meta = json.loads(note.value)
    assert meta == {
        "status": "SUCCESS",
        "result": {key: value for key, value in document.items() if key != "body"},
        "traceback": None,
        "children": [],
        "date_done": "2027-01-15T08:00:05.000Z",
        "task_id": "job-1",
    }
    assert "a large body" not in note.value


def test_half_a_character_in_a_reason_can_be_stored():
    document = envelope(a_job(), Fail("\ud800"), START)
    assert json.loads(TaskResults(1).make("job-1", document).value.encode())["result"]["failReason"] == "\ud800"
