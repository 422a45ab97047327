"""The task results that finish.lua stores, read by a real Celery `AsyncResult`."""

import threading

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as NotYet

from config.celery_settings import celery_settings
from config.settings import Settings
from longhaul.jobs.decider import Finish
from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobStore
from longhaul.work.decisions import Cancel, Expire, Fail, Sent
from tasks.plumbing.task_results import TaskResults
from tests.builders import a_submission, finished, job_limits


@pytest.fixture
def store(redis):
    return JobStore(redis, job_limits(), TaskResults(3600).make)


@pytest.fixture
def client(redis_url):
    app = Celery("client", set_as_current=False)
    app.conf.update(celery_settings(Settings(redis_url=redis_url)))
    yield app
    app.backend.result_consumer.stop()
    app.backend.client.close()
    app.close()


def submit(store, *ids):
    store.submit([(id_, a_submission(meta={"n": 1})) for id_ in ids], tracked=True)
    store.apply(
        JobStep.SEND,
        [(job, Sent(f"remote-{job.id}", store.now())) for job in store.claim(JobStep.SEND, "default").items],
        store.now(),
    )


def end(store, decision):
    now = store.now()
    for applied in store.apply(
        JobStep.POLL, [(job, decision) for job in store.claim(JobStep.POLL, "default").items], now
    ):
        assert applied.written == "finished"


ENDS = [
    (
        Finish(finished("the body").response),
        {"status": "finished", "statusCode": 200, "headers": {"sa-statuscode": "200"}},
    ),
    (Fail("why"), {"status": "failed", "failReason": "why"}),
    (Expire("late"), {"status": "expired", "failReason": "late"}),
    (Cancel(), {"status": "cancelled"}),
]


def assert_envelope(envelope, own):
    """`envelope` is that of the job, without a body."""
    assert (
        envelope.items()
        >= ({"id": "a", "kind": "job", "url": "https://example.com/", "meta": {"n": 1}, "submissions": 1} | own).items()
    )
    assert not {"body", "base64EncodedBody"} & set(envelope)


@pytest.mark.parametrize(("decision", "own"), ENDS, ids=lambda value: type(value).__name__)
def test_after_the_end_a_client_gets_the_envelope_without_its_body(store, client, decision, own):
    submit(store, "a")
    end(store, decision)
    result = client.AsyncResult("a")
    assert_envelope(result.get(timeout=5), own)
    assert (result.state, result.ready(), result.successful(), result.failed()) == ("SUCCESS", True, True, False)
    assert result.date_done is not None


@pytest.mark.parametrize(("decision", "own"), ENDS, ids=lambda value: type(value).__name__)
def test_a_client_that_waits_gets_the_envelope_when_the_job_ends(store, client, redis, decision, own):
    submit(store, "a")
    result = client.AsyncResult("a")
    found = []
    waiting = threading.Thread(target=lambda: found.append(result.get(timeout=20)))
    waiting.start()
    while not redis.pubsub_numsub("celery-task-meta-a")[0][1]:
        assert waiting.is_alive()
    assert found == []
    end(store, decision)
    waiting.join(20)
    assert_envelope(found[0], own)


def test_before_the_end_the_result_is_pending(store, client):
    submit(store, "a")
    result = client.AsyncResult("a")
    assert (result.state, result.ready()) == ("PENDING", False)
    with pytest.raises(NotYet):
        result.get(timeout=0.1)


def test_several_results_are_collected_together(store, client):
    submit(store, "a", "b")
    end(store, Cancel())
    results = client.ResultSet([client.AsyncResult("a"), client.AsyncResult("b")])
    assert [one["status"] for one in results.get(timeout=5)] == ["cancelled", "cancelled"]


def test_a_result_can_be_forgotten(store, client, redis):
    submit(store, "a")
    end(store, Cancel())
    client.AsyncResult("a").forget()
    assert not redis.exists("celery-task-meta-a")
