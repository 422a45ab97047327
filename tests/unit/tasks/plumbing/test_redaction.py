"""Requests as a worker makes them from a message, with the arguments that callers send."""

import json

import pytest
from celery import Celery
from celery.utils.imports import instantiate, symbol_by_name

from tasks.plumbing.redaction import HIDDEN, RedactedRequest, RedactedTask
from tasks.submit import SubmittingRequest

SECRET = "hunter2-hunter2"


class Message:
    """The parts of a kombu message that Celery's Request reads."""

    def __init__(self, argsrepr):
        self.headers = {
            "task": "ours",
            "id": "job-1",
            "lang": "py",
            "argsrepr": argsrepr,
            "kwargsrepr": argsrepr,
            "root_id": "job-1",
            "parent_id": None,
            "group": None,
        }
        self.properties = {"reply_to": None, "correlation_id": "job-1"}
        self.delivery_info = {}
        self.payload = [[], {"url": "https://example.com/", "headers": {"Authorization": SECRET}}, {}]
        self.body = json.dumps(self.payload)
        self.content_type, self.content_encoding = "application/json", "utf-8"
        self.decoded = False


@pytest.fixture
def app():
    app = Celery("x", set_as_current=False, task_cls=RedactedTask)

    def ours(**_):
        """Nothing to do."""

    app.task(ours, name="ours", shared=False)
    app.finalize()
    return app


def received(app, cls=RedactedRequest, argsrepr=f"({SECRET})"):
    return cls(Message(argsrepr), app=app, task=app.tasks["ours"], headers=Message(argsrepr).headers, decoded=False)


@pytest.mark.parametrize("cls", [RedactedRequest, SubmittingRequest])
@pytest.mark.parametrize("argsrepr", [f"({SECRET},)", "", None])
def test_no_argument_is_told_to_flower_or_to_inspect_or_to_a_log(app, cls, argsrepr):
    request = received(app, cls, argsrepr)
    shown = [
        request.info(),
        request.info(safe=False),
        repr(request),
        str(request),
        request.humaninfo(),
        request.argsrepr,
        request.kwargsrepr,
    ]
    assert SECRET not in repr(shown)
    assert (request.argsrepr, request.kwargsrepr) == (HIDDEN, HIDDEN)


def test_every_task_of_an_app_that_says_so_is_received_that_way(app):
    assert symbol_by_name(app.tasks["ours"].Request) is RedactedRequest


def test_the_task_itself_gets_its_arguments(app):
    assert received(app).kwargs["headers"] == {"Authorization": SECRET}


def test_a_task_class_can_be_named_in_the_settings():
    assert isinstance(instantiate("tasks.plumbing.redaction:RedactedTask"), RedactedTask)


def test_a_submission_that_went_well_stores_no_result_and_tells_nothing_but_everything_else_is_told(app):
    request = received(app, SubmittingRequest)
    sent = []
    request._eventer = type("Eventer", (), {"enabled": True, "send": lambda _, kind, **__: sent.append(kind)})()
    request._task = type("Task", (), {"send_events": True})()
    for kind in ("task-started", "task-succeeded", "task-failed"):
        request.send_event(kind)
    assert sent == ["task-started", "task-failed"]
    assert request.request_dict["ignore_result"] is True
