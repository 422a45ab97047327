"""Workers and the server are killed or stopped in the middle of their work; each job still ends in one envelope."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from celery import Celery

from service.faults.words import body_for
from tests.conftest import free_port
from tests.installation import QUEUE, Installation, installed, until
from workers.local.embedded_server import serving

JOBS = 150


@pytest.fixture
def apart() -> Iterator[Installation]:
    """A system for this test alone that only polls: a worker must read every body."""
    with serving(free_port()) as redis_url, installed(redis_url, leave_out=("flower", "webhook")) as installation:
        yield installation


def test_killed_workers_lose_and_duplicate_no_job(apart: Installation) -> None:
    urls = [f"http://slow-{1 + n % 4}.fault.invalid/killed-{n}" for n in range(JOBS)]
    ids = apart.client.send_task(
        "jobs.submit_batch", kwargs={"requests": urls, "callback": False, "resubmit": 5, "queue": QUEUE}
    ).get(timeout=30)
    for share in (0.1, 0.4, 0.7):
        until(lambda s=share: apart.books().envelopes >= s * JOBS, f"{share:.0%} of the envelopes", 120)
        apart.stop("worker1", "worker2", by=signal.SIGKILL)
    for job_id, url in zip(ids, urls, strict=True):
        envelope = apart.envelope(job_id, seconds=150)
        assert envelope["status"] == "finished"
        assert envelope["body"] == body_for(url)
    apart.read()
    assert {len(envelopes) for envelopes in apart.envelopes.values()} == {1}


def test_a_stopped_worker_finishes_what_it_is_reading(apart: Installation) -> None:
    urls = [f"http://slow-1.fault.invalid/stopped-{n}" for n in range(JOBS)]
    ids = apart.client.send_task("jobs.submit_batch", kwargs={"requests": urls, "callback": False, "queue": QUEUE}).get(
        timeout=30
    )
    until(lambda: apart.books().envelopes >= JOBS // 10, "the first envelopes")
    apart.stop("worker1", "worker2", by=signal.SIGTERM)
    for job_id, url in zip(ids, urls, strict=True):
        envelope = apart.envelope(job_id, seconds=120)
        # No result that was read was lost: no job had to be submitted twice.
        assert (envelope["status"], envelope["submissions"]) == ("finished", 1)
        assert envelope["body"] == body_for(url)


def test_a_server_that_is_restarted_goes_on_from_its_file(tmp_path) -> None:
    port = free_port()
    server = serving(port, tmp_path)
    redis_url = server.__enter__()
    try:
        with installed(redis_url, leave_out=("flower", "webhook")) as longhaul:
            urls = [f"http://slow-2.fault.invalid/restart-{n}" for n in range(40)]
            ids = longhaul.client.send_task(
                "jobs.submit_batch", kwargs={"requests": urls, "callback": False, "resubmit": 5, "queue": QUEUE}
            ).get(timeout=30)
            until(lambda: longhaul.books().states["running"] > 0, "running jobs")
            server.__exit__(None, None, None)
            server = serving(port, tmp_path)
            server.__enter__()
            for job_id, url in zip(ids, urls, strict=True):
                assert longhaul.envelope(job_id, seconds=120)["body"] == body_for(url)
    finally:
        server.__exit__(None, None, None)


def test_a_message_waits_for_a_ledger_that_is_away_and_its_job_is_not_lost(tmp_path) -> None:
    port = free_port()
    ledger = serving(port, tmp_path)
    redis_url = ledger.__enter__()
    try:
        with (
            serving(free_port()) as broker_url,
            installed(redis_url, {"LONGHAUL_BROKER_URL": broker_url}, leave_out=("flower", "webhook")) as apart,
        ):
            # A client without a result backend: it needs only the broker.
            client = Celery(broker=broker_url)
            ledger.__exit__(None, None, None)
            wanted = {"callback": False, "queue": QUEUE}
            single = client.send_task("jobs.submit", kwargs={"url": "http://ok.fault.invalid/waits", **wanted})
            batch = client.send_task(
                "jobs.submit_batch", kwargs={"requests": ["http://ok.fault.invalid/waits-too"], **wanted}
            )
            until(
                lambda: sum("the ledger does not take writes" in line for _, line in apart.lines) >= 2,
                "both messages waiting",
            )
            ledger = serving(port, tmp_path)
            ledger.__enter__()
            for job_id, url in ((single.id, "waits"), (f"{batch.id}.0", "waits-too")):
                assert apart.envelope(job_id, seconds=90)["body"] == body_for(f"http://ok.fault.invalid/{url}")
    finally:
        ledger.__exit__(None, None, None)
