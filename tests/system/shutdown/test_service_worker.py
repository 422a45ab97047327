"""On SIGTERM the service's worker finishes the pages that it fetches and claims no more; on a second SIGTERM it ends at
once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from tests.service_process import Service, eventually
from tests.wire import Reply, wire

SOON_SECONDS = 5.0
"""Two seconds of grace, and the end of the interpreter on a busy machine."""


def test_a_stopped_fetcher_finishes_its_pages_and_claims_no_more(tmp_path: Path, redis_url: str) -> None:
    release = threading.Event()
    with wire(lambda _: Reply(200, b"page", after=release)) as target, fetching(redis_url, tmp_path) as service:
        runs = [service.post(f"{target.base}/{n}")["id"] for n in range(40)]
        eventually(lambda: len(target.asked) >= 4)
        stop(service, "worker")
        begun = len(target.asked)
        later = service.post(f"{target.base}/later")["id"]
        release.set()
        assert service.processes["worker"].wait(10) == 0
        # A page that had a slot of its host may still be requested, but not one that waited in the ledger.
        assert "/later" not in {ask.path for ask in target.asked}
        assert len(target.asked) >= begun
        leased = {str(id_) for id_, at in due(service, "fetch").items() if at > time.time() + 1}
        assert leased == set()
        service.start_worker()
        for run in (*runs, later):
            assert service.ended(run)["response"]["body"] == "page"
        assert len({ask.path for ask in target.asked}) == len(target.asked) == 41


def test_a_fetcher_stopped_twice_ends_at_once_and_its_pages_are_fetched_after_the_lease(
    tmp_path: Path, redis_url: str
) -> None:
    release = threading.Event()
    with wire(lambda _: Reply(200, b"page", after=release)) as target, fetching(redis_url, tmp_path) as service:
        run = service.post(f"{target.base}/page")["id"]
        eventually(lambda: target.asked)
        stop(service, "worker")
        assert service.processes["worker"].poll() is None
        service.processes["worker"].terminate()
        assert service.processes["worker"].wait(SOON_SECONDS) == 75
        release.set()
        service.start_worker()
        assert service.ended(run, within=30)["response"]["body"] == "page"


@contextmanager
def fetching(redis_url: str, folder: Path) -> Iterator[Service]:
    """A service with short leases."""
    service = Service(redis_url, folder, {"http_timeout": "6", "batch_timeout": "7", "lease": "8"})
    try:
        service.start_worker()
        service.start_web()
        yield service
    finally:
        service.stop_all()


def stop(service: Service, name: str) -> None:
    service.processes[name].terminate()
    eventually(lambda: "Warm shutdown" in (service.folder / f"{name}.log").read_text())


def due(service: Service, lane: str) -> dict[str, float]:
    with Redis.from_url(service.redis_url, decode_responses=True) as redis:
        return {
            str(id_): float(at)
            for id_, at in redis.zrange(f"longhaul:service:{{runs}}:due:{lane}", 0, -1, withscores=True)
        }
