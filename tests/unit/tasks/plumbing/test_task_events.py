"""What goes to Flower, heard by a real event receiver on a real broker."""

import threading
import time

import pytest
from celery import Celery
from celery._state import get_current_app

from config.celery_settings import celery_settings
from config.settings import Settings
from longhaul.jobs.decider import Finish
from longhaul.jobs.envelope import envelope
from longhaul.work.batch import Applied
from longhaul.work.decisions import Cancel, Expire, Fail, Retry, Sent, Snooze
from tasks.plumbing.task_events import report, send
from tests.builders import START, a_job, finished
from tests.conftest import free_port

SECRET = "a large body with a secret"
ENDS = (Finish, Fail, Expire, Cancel)


def applied(decision, tracked=True):
    job = a_job(tracked=tracked)
    return Applied(
        job, decision, "moved", START + 5, envelope(job, decision, START + 5) if isinstance(decision, ENDS) else None
    )


@pytest.fixture(autouse=True)
def the_current_app_afterwards():
    before = get_current_app()
    yield
    before.set_current()


@pytest.fixture
def app(redis_url):
    app = Celery("x", set_as_current=False)
    app.conf.update(celery_settings(Settings(redis_url=redis_url)))
    app.set_current()
    yield app
    app.close()


@pytest.fixture
def heard(app, redis):
    """A function that gives the task events that a listener hears of some writes."""

    def hear(*done):
        events = []
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(
                connection, handlers={"*": events.append, "task-last": lambda _: setattr(receiver, "should_stop", True)}
            )
            listening = threading.Thread(target=receiver.capture, kwargs={"timeout": 20, "wakeup": False})
            listening.start()
            while not redis.pubsub_numpat() + len(redis.pubsub_channels()):
                assert listening.is_alive()
            report(done)
            send([("task-last", {"uuid": "last"})])
            listening.join(20)
        return events

    return hear


@pytest.mark.parametrize(
    ("decision", "kind", "fields"),
    [
        (Sent("r", START), "task-polling", {}),
        (
            Finish(finished(SECRET).response),
            "task-succeeded",
            {"result": "{'status': 'finished', 'statusCode': 200, 'polls': 0, 'submissions': 1}", "runtime": 5},
        ),
        (Fail("why"), "task-failed", {"exception": "failed: why", "traceback": ""}),
        (Expire("late"), "task-failed", {"exception": "expired: late", "traceback": ""}),
        (Cancel(), "task-cancelled", {}),
    ],
)
def test_a_step_of_a_watched_job_is_told_without_its_body(heard, decision, kind, fields):
    (event,) = heard(applied(decision))
    assert event.items() >= ({"type": kind, "uuid": "job-1", "hostname": "longhaul@receiver"} | fields).items()
    assert SECRET not in repr(event)


@pytest.mark.parametrize("decision", [Snooze(START), Retry(START, "x")])
def test_another_poll_is_no_event(heard, decision):
    assert heard(applied(decision)) == []


def test_a_job_that_nobody_waits_for_is_no_row(heard):
    assert heard(applied(Fail("why"), tracked=False)) == []


def test_many_steps_are_told_in_their_order(heard):
    steps = [Sent("r", START), Fail("why"), Cancel()]
    assert [event["type"] for event in heard(*map(applied, steps))] == ["task-polling", "task-failed", "task-cancelled"]


@pytest.mark.waits
def test_a_broker_that_is_away_delays_the_batch_by_seconds_and_fails_nothing():
    app = Celery("x", set_as_current=False)
    app.conf.update(celery_settings(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0")))
    app.set_current()
    began = time.monotonic()
    report([applied(Fail("why"))])
    assert time.monotonic() - began < 10
    app.close()
