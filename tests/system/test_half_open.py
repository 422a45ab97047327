"""Every connection of every process becomes half-open at once: bytes vanish, sockets stay. Each notices, and no job is lost by it."""

from __future__ import annotations

import time

import pytest
import requests
from celery import Celery

from ledger.connection import connect
from service.faults import body_for
from tests.conftest import free_port
from tests.installation import QUEUE, installed, until
from tests.tcp_proxy import proxying
from workers.embedded import serving

NOTICED_WITHIN = 60.0
WAITING = 40


# It waits out one timeout after the other, on a busy machine as well.
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_half_open_connections_are_noticed_within_a_minute_and_lose_nothing() -> None:
    port = free_port()
    with (
        serving(port) as redis_url,
        proxying(port) as proxy,
        installed(redis_url.replace(str(port), str(proxy.port)), leave_out=("flower",)) as apart,
    ):
        # The test itself goes straight to the server.
        apart.redis, apart.caller = connect(redis_url), Celery(broker=redis_url, backend=redis_url)
        urls = [f"http://slow-{1 + n % 3}.fault.invalid/half-open-{n}" for n in range(WAITING)]
        batch = apart.caller.send_task("jobs.submit_batch", kwargs={"requests": urls, "resubmit": 5, "queue": QUEUE})
        ids = batch.get(timeout=30)
        until(lambda: apart.books().states["running"] > 0, "running jobs")
        assert proxy.open > 10
        proxy.freeze()
        began = time.monotonic()
        late = {apart.submit(url): url for url in (f"http://ok.fault.invalid/after-{n}" for n in range(10))}
        for job_id, url in late.items():
            assert apart.envelope(job_id, seconds=NOTICED_WITHIN)["body"] == body_for(url)
        # Worker, beat, service and its crew have all had a part in that; the receiver may have been left out.
        until(lambda: requests.get(f"{apart.local.receiver_url}/health", timeout=15).ok, "a healthy receiver", NOTICED_WITHIN)
        assert time.monotonic() - began < NOTICED_WITHIN
        for job_id, url in zip(ids, urls, strict=True):
            assert apart.envelope(job_id, seconds=60)["body"] == body_for(url)
        apart.read()
        assert {len(envelopes) for envelopes in apart.envelopes.values()} == {1}
