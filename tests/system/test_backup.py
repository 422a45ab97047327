"""A copy of the append-only folder, taken under load, is a backup: a new server goes on from it, although the remote
has moved on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from longhaul.jobs.store import JobStore
from longhaul.ledger.connection import connect
from longhaul.work.balance import balance
from service.faults.words import body_for
from tests.builders import a_submission, envelopes, job_limits
from tests.conftest import free_port
from tests.installation import FAST, until
from tests.service_process import Service, service
from workers.local.embedded_server import serving
from workers.local.processes import Processes
from workers.local.stack import Stack, free_ports

JOBS = 150


@contextmanager
def working(redis_url: str, remote: Service) -> Iterator[Processes]:
    """Two workers and beat on the ledger at `redis_url`."""
    local = Stack(free_ports(), redis_url, self_hosted=False, workers=2, secret="0123456789abcdef" * 3)
    env = {**FAST, "LONGHAUL_ASYNC_URL": remote.base, "LONGHAUL_CRAWLER_URL": remote.base, "LONGHAUL_API_KEY": "k"}
    parts = [replace(part, env={**part.env, **env}) for part in local.own() if part.name.startswith(("worker", "beat"))]
    lines: list[str] = []
    with Processes(lambda name, line: lines.append(f"{name} {line}")) as processes:
        processes.start(parts)
        until(lambda: sum("ready." in line for line in lines) == 2, "two workers")
        yield processes


def back_up(redis_url: str, folder: Path, copy: Path) -> None:
    """As docs/how-to/backups-and-upgrades.md says."""
    redis = connect(redis_url)
    share = redis.config_get("auto-aof-rewrite-percentage")["auto-aof-rewrite-percentage"]
    redis.config_set("auto-aof-rewrite-percentage", 0)
    until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"], "no rewrite of the file")
    shutil.copytree(folder, copy)
    redis.config_set("auto-aof-rewrite-percentage", share)
    redis.close()


@pytest.mark.timeout(240)
def test_a_server_that_starts_from_a_copy_goes_on_where_the_copy_was_taken(tmp_path: Path) -> None:
    folder, copy = tmp_path / "ledger", tmp_path / "backup"
    urls = {f"job-{n}": f"http://slow-{1 + n % 4}.fault.invalid/{n}" for n in range(JOBS)}
    with service(tmp_path, service_faults="1") as remote:
        with serving(free_port(), folder) as redis_url:
            redis = connect(redis_url)
            store = JobStore(redis, job_limits())
            with working(redis_url, remote):
                store.submit([(id_, a_submission(url, resubmit=5)) for id_, url in urls.items()], tracked=False)
                until(lambda: balance(store.books()).envelopes >= JOBS // 10, "the first envelopes")
                back_up(redis_url, folder, copy)
                # What happens now is not in the copy: the remote hands out results and deletes them.
                until(lambda: balance(store.books()).envelopes == JOBS, "all envelopes", 90)
            redis.close()
        # Cut the last write in half, as in a snapshot of a disk.
        last = max(copy.rglob("*.aof"), key=lambda file: ("incr" in file.name, file.name))
        last.write_bytes(last.read_bytes()[:-5])
        with serving(free_port(), copy) as redis_url:
            redis = connect(redis_url)
            store = JobStore(redis, job_limits())
            found = balance(store.books())
            assert (found.faults, found.submitted) == ([], JOBS)
            assert JOBS // 10 - 1 <= found.envelopes < JOBS
            with working(redis_url, remote):
                until(lambda: not balance(store.books()).open, "every job ended", 110)
            assert balance(store.books()).faults == []
            written = envelopes(redis)
            assert sorted(envelope["id"] for envelope in written) == sorted(urls)
            assert {envelope["status"] for envelope in written} == {"finished"}
            assert all(envelope["body"] == body_for(urls[envelope["id"]]) for envelope in written)
            # Results that were read after the copy was taken are gone, so those jobs were submitted again.
            assert max(envelope["submissions"] for envelope in written) == 2
            redis.close()
