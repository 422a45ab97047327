"""Every connection of every process to Redis becomes half-open at once: bytes vanish, sockets stay. Each process
notices, and no job is lost.
"""

from __future__ import annotations

import time

import pytest
import requests
from celery import Celery

from longhaul.ledger.connection import connect
from service.faults.words import body_for
from tests.conftest import free_port
from tests.installation import QUEUE, Installation, installed, until
from tests.tcp_proxy import proxying
from workers.local.embedded_server import serving

NOTICED_WITHIN = 60.0
WAITING = 40
WORKERS = ("worker1", "worker2")


def answering(apart: Installation) -> set[str]:
    """Which of the two workers answer a ping through the broker, each asked by its name."""
    nodes = [f"{name}@{apart.node()}" for name in WORKERS]
    answers = apart.client.control.ping(destination=nodes, timeout=2.0, limit=len(nodes))
    return {node.partition("@")[0] for answer in answers for node in answer}


def at_work(apart: Installation, since: int) -> set[str]:
    """Which of the two have taken a batch from the broker and written it into the ledger, by their own lines from
    `since` on.
    """
    return {name for name, line in apart.lines[since:] if name in WORKERS and "step=" in line and "claimed=" in line}


# It waits for one timeout after the other, on a busy machine as well.
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_half_open_connections_are_noticed_within_a_minute_and_lose_nothing() -> None:
    port = free_port()
    with (
        serving(port) as redis_url,
        proxying(port) as proxy,
        installed(redis_url.replace(str(port), str(proxy.port)), leave_out=("flower",)) as apart,
    ):
        # The test itself connects to the server directly.
        apart.redis, apart.client = connect(redis_url), Celery(broker=redis_url, backend=redis_url)
        urls = [f"http://slow-{1 + n % 3}.fault.invalid/half-open-{n}" for n in range(WAITING)]
        batch = apart.client.send_task("jobs.submit_batch", kwargs={"requests": urls, "resubmit": 5, "queue": QUEUE})
        ids = batch.get(timeout=30)
        until(lambda: apart.books().states["running"] > 0, "running jobs")
        assert proxy.open > 10
        assert answering(apart) == set(WORKERS)
        proxy.freeze()
        began = time.monotonic()
        late = {apart.submit(url): url for url in (f"http://ok.fault.invalid/after-{n}" for n in range(10))}
        for job_id, url in late.items():
            assert apart.envelope(job_id, seconds=NOTICED_WITHIN)["body"] == body_for(url)
        # A worker, beat, the service and its worker have all had a part in that; the other worker and the receiver
        # may not have.
        until(lambda: answering(apart) == set(WORKERS), "both workers' answers", NOTICED_WITHIN)
        # From here on, so that no line counts that was on its way when the freeze came.
        since = len(apart.lines)

        def both_at_work() -> bool:
            apart.envelope(apart.submit("http://ok.fault.invalid/more"), seconds=NOTICED_WITHIN)
            return at_work(apart, since) == set(WORKERS)

        until(both_at_work, "a batch by each worker", NOTICED_WITHIN)
        until(
            lambda: requests.get(f"{apart.local.receiver_url}/health", timeout=15).ok,
            "a healthy receiver",
            NOTICED_WITHIN,
        )
        assert time.monotonic() - began < NOTICED_WITHIN
        for job_id, url in zip(ids, urls, strict=True):
            assert apart.envelope(job_id, seconds=60)["body"] == body_for(url)
        apart.read()
        assert {len(envelopes) for envelopes in apart.envelopes.values()} == {1}
