"""RabbitMQ as the broker: `python -m tests.chaos.rabbitmq [--kills N]`. The exit code is 1 where something is lost, 2
where there is no RabbitMQ.

First jobs from a client to their envelopes, with remote control and Flower; then workers are killed under load, and the
server is restarted.
"""

from __future__ import annotations

import argparse
import sys

from celery import Celery

from longhaul.jobs.store import JobStore
from service.faults.words import body_for
from tests.builders import job_limits
from tests.chaos.intake import QUORUM, TASK_CRASH_POINTS, IntakeResult, IntakeRun, intake_run
from tests.chaos.rabbit import RabbitServer, find_rabbitmq, rabbitmq
from tests.conftest import free_port
from tests.installation import QUEUE, installed, until
from workers.local.embedded_server import serving

JOBS = 200


def main_job(broker: RabbitServer) -> None:
    """A single job, a batch and a cancelled job; then Celery's own tools."""
    with serving(free_port()) as redis_url, installed(redis_url, {"LONGHAUL_BROKER_URL": broker.url}) as longhaul:
        longhaul.client = Celery(broker=broker.url, backend=redis_url)
        longhaul.client.conf.update(QUORUM)
        url = "http://ok.fault.invalid/single"
        assert (
            longhaul.client.send_task("jobs.submit", kwargs={"url": url, "queue": QUEUE}).get(timeout=40)["status"]
            == "finished"
        )
        urls = [f"http://slow-1.fault.invalid/batch-{n}" for n in range(JOBS)]
        ids = longhaul.client.send_task("jobs.submit_batch", kwargs={"requests": urls, "queue": QUEUE}).get(timeout=40)
        for job_id, url in zip(ids, urls, strict=True):
            assert longhaul.envelope(job_id)["body"] == body_for(url)
        never = longhaul.submit("http://never.fault.invalid/cancelled")
        until(lambda: longhaul.books().states["running"], "a running job")
        longhaul.client.send_task("jobs.cancel", kwargs={"job_id": never}).get(timeout=40)
        assert longhaul.envelope(never)["status"] == "cancelled"
        answered = longhaul.client.control.inspect(timeout=5).ping()
        assert {name.partition("@")[0] for name in answered} >= {"worker1", "worker2"}
        until(lambda: "worker1" in longhaul.flower("/workers").text, "a worker in Flower")
        sent = longhaul.command("submit", "http://ok.fault.invalid/command", env={"LONGHAUL_BROKER_URL": broker.url})
        assert sent.returncode == 0, sent.stderr


def killed_workers(broker: RabbitServer, kills: int, seed: int) -> IntakeResult:
    """Kill workers under load."""
    with intake_run("ours", seed, broker.url) as run:
        run.kill(kills, workers=2)
    return run.result


def restarted_server(broker: RabbitServer, seed: int) -> IntakeResult:
    """Restart the server under load: it keeps what it has confirmed."""
    with intake_run("ours", seed, broker.url) as run, run.worker(), run.worker():
        for _ in range(2):
            wait_for_records(run, 200)
            broker.stop()
            broker.start()
        wait_for_records(run, 200)
    return run.result


def wait_for_records(run: IntakeRun, more: int) -> None:
    """Wait until workers have recorded so many more jobs."""
    store = JobStore(run.redis, job_limits())
    before = store.books().counts.get("submitted", 0)
    until(lambda: store.books().counts.get("submitted", 0) > before + more, f"{more} records", 90)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rabbitmq", description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    script = find_rabbitmq()
    if script is None:
        sys.stderr.write(
            "There is no rabbitmq-server on the PATH: install RabbitMQ 3.10 or newer"
            " (Debian: apt-get install rabbitmq-server).\n"
        )
        return 2
    with rabbitmq(script) as broker:
        main_job(broker)
        sys.stdout.write("main job: done\n")
        workers = killed_workers(broker, chosen.kills, chosen.seed)
        points = ", ".join(f"{workers.kills[point]} at `{point}`" for point in TASK_CRASH_POINTS)
        server = restarted_server(broker, chosen.seed)
    for what, result in ((f"workers killed: {points}", workers), ("server restarted twice", server)):
        sys.stdout.write(f"{what}; messages {len(result.sent)}, left {result.left}, lost {len(result.lost)}\n")
    return 1 if workers.lost or workers.left or server.lost or server.left else 0


if __name__ == "__main__":
    sys.exit(main())
