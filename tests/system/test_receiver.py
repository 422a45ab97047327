"""The webhook receiver: only the remote gets in, and 2xx only after the event is in the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from jobs.callback import USER, Callbacks
from jobs.job import State, Step
from jobs.store import JobStore, Limits
from tests.conftest import free_port
from tests.installation import Installation, installed, until
from workers.embedded import serving


@pytest.fixture(scope="module")
def asleep() -> Iterator[Installation]:
    """An installation in which nothing but the receiver moves a job: no beat, and a remote that pushes nothing by itself."""
    with serving(free_port()) as redis_url, installed(redis_url, leave_out=("flower", "beat")) as installation:
        yield installation


@pytest.fixture
def waiting(asleep: Installation) -> Iterator[tuple[str, str, str]]:
    """A queued job, the address at which its result may be pushed, and the password."""
    job_id = asleep.submit("http://never.fault.invalid/waiting")
    until(lambda: asleep.redis.exists(f"longhaul:{{jobs}}:record:{job_id}"), "the record")
    callbacks = Callbacks(asleep.local.secret)
    url = callbacks.url(asleep.local.receiver_url, "job", job_id).replace(f"{USER}:{callbacks.password(job_id)}@", "")
    yield job_id, url, callbacks.password(job_id)
    asleep.caller.send_task("jobs.cancel", kwargs={"job_id": job_id}).get(timeout=30)


def finished(body: str = "pushed") -> dict[str, object]:
    return {"id": "r1", "status": "finished", "url": "http://x/", "response": {"statusCode": 200, "headers": {}, "body": body}}


def test_a_pushed_result_is_the_jobs_end_and_a_second_one_changes_nothing(asleep: Installation, waiting: tuple[str, str, str]) -> None:
    job_id, url, password = waiting
    for body in ("first", "second"):
        assert requests.post(url, json=finished(body), auth=(USER, password), timeout=10).status_code == 200
    envelope = asleep.envelope(job_id)
    assert (envelope["body"], envelope.get("remoteId")) == ("first", None)


def test_what_is_still_running_is_taken_and_changes_nothing(asleep: Installation, waiting: tuple[str, str, str]) -> None:
    job_id, url, password = waiting
    assert requests.post(url, json={"id": "r1", "status": "running"}, auth=(USER, password), timeout=10).status_code == 200
    job = JobStore(asleep.redis, Limits()).get(job_id)
    assert job is not None
    assert job.state is State.QUEUED


@pytest.mark.parametrize("change", ["token", "job", "password", "none"])
def test_nobody_else_gets_in(asleep: Installation, waiting: tuple[str, str, str], change: str) -> None:
    job_id, url, password = waiting
    url = {"token": url[:-1] + ("0" if url[-1] != "0" else "1"), "job": url.replace(job_id, "another")}.get(change, url)
    auth = {"password": (USER, "wrong"), "none": None}.get(change, (USER, password))
    assert requests.post(url, json=finished(), auth=auth, timeout=10).status_code == 404
    job = JobStore(asleep.redis, Limits()).get(job_id)
    assert job is not None
    assert job.state is State.QUEUED


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[1]", 400), (b" " * (5 * 1024 * 1024), 413)])
def test_what_is_no_event_is_refused(waiting: tuple[str, str, str], body: bytes, status: int) -> None:
    _, url, password = waiting
    assert requests.post(url, data=body, auth=(USER, password), timeout=10).status_code == status


def test_the_steps_of_a_job_are_asleep_here(asleep: Installation) -> None:
    # What the other tests here rely on: without beat no job is sent.
    assert all(lane.name.startswith((Step.SEND, Step.CANCEL)) for lane in JobStore(asleep.redis, Limits()).books().lanes)
