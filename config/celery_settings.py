"""Every Celery setting that is not the default, each with its reason; queues, routes and beat's own entries.

Measured on Celery 5.7 and Redis; the findings are in `docs/internals/decisions.md`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from config.addresses import is_redis
from config.schedules import read_schedules
from config.settings import Settings

INTAKE = "celery"
"""Submitting and cancelling: Celery's default queue, so that a client's `send_task` needs no routing of its own."""
BATCHES = "longhaul.batches"
"""Sending and polling, in a queue of their own: a million submissions must not keep waiting jobs from being polled."""
UPKEEP = "longhaul.upkeep"
"""Beat's tick and the sweep, which must not wait behind batches."""
SERVICE = "longhaul.service"
"""The self-hosted service's own work."""

QUEUE_TYPE = "quorum"
"""Of every queue on RabbitMQ."""

WORKER_QUEUES = (INTAKE, BATCHES, UPKEEP)

ROUTES = {
    "jobs.send": {"queue": BATCHES},
    "jobs.poll": {"queue": BATCHES},
    "jobs.cancel_batch": {"queue": BATCHES},
    "crawls.create_batch": {"queue": BATCHES},
    "crawls.poll": {"queue": BATCHES},
    "crawls.cancel_batch": {"queue": BATCHES},
    "jobs.dispatch": {"queue": UPKEEP},
    "jobs.sweep": {"queue": UPKEEP},
}

TICK = 1.0
SWEEP = 60.0
HINT_EXPIRES = 120
"""A hint older than this is dropped, so that stopped workers find no pile of ticks; long enough for clocks that differ
by a minute.
"""


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Celery's settings as every process of ours uses them; times in seconds."""
    broker = _on_redis(settings) if is_redis(settings.broker) else _on_rabbitmq()
    return {
        "broker_url": celery_url(settings.broker),
        **broker,
        "broker_connection_retry_on_startup": True,
        # The default gives up after 100 tries; a worker has to outlive any outage.
        "broker_connection_max_retries": None,
        # The jobs' own results: written by the script that ends the job, read by any client that has its id.
        "result_backend": celery_url(settings.redis_url),
        "result_backend_always_retry": True,
        # Beyond 72 hours, for here a result means that a job has ended.
        "result_expires": int(settings.result_expires),
        # Without a timeout a half-open connection hangs its user for good.
        "redis_socket_timeout": 10,
        "redis_socket_connect_timeout": 5,
        "redis_backend_health_check_interval": 5,
        # JSON only: a pickled message can run code.
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        # A message is acknowledged when its work is done, so that another worker gets it if this one dies. Every
        # task of ours may run twice.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # Tasks here are hints: only submitting, creating and cancelling have results, and say so themselves.
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": True,
        # Sends the events that Flower's rows are made of; the tasks of the hot path opt out (-41 % throughput measured
        # with all of them on).
        "worker_send_task_events": True,
        # The thread pool ignores time limits, so there are none: every await has a bound of its own, and
        # LONGHAUL_BATCH_TIMEOUT the batch.
        "worker_pool": "threads",
        "worker_concurrency": settings.worker_threads,
        # Connections are few, long-lived and shared; logs are ours.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "timezone": "UTC",
    }


def celery_url(url: str) -> str:
    """An address as Celery, kombu and RedBeat understand it, with the meaning that it has in the settings.

    Without `ssl_cert_reqs` Celery's result backend refuses `rediss://`, kombu verifies no certificate, and kombu with a
    transport of ours would not even use TLS: it goes by the option and not by the scheme. redis-py verifies.
    """
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in urlsplit(url).query:
        return url
    return f"{url}{'&' if urlsplit(url).query else '?'}ssl_cert_reqs=required"


def _on_redis(settings: Settings) -> dict[str, Any]:
    options = {
        # Longer than any lease; after it, what a dead worker had is handed out again.
        "visibility_timeout": settings.visibility_timeout,
        # With the defaults a half-open connection hangs the worker for good; with these it recovers in half a minute.
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 5,
        # The sweep for messages of dead workers: every 10 s, at most 200 at once, for each is a transaction that blocks
        # the worker.
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "unacked_restore_limit": 200,
        # A worker that dies while it sweeps keeps the others from sweeping for so long. The default is five minutes; a
        # sweep takes a second.
        "unacked_mutex_expire": 30,
        # Priorities are not used; the default asks for four keys of each queue.
        "priority_steps": [0],
    }
    return {
        "broker_transport_options": options,
        # A server that refuses for a moment (it is full, or a replica) is no reason to end for good, which is the
        # default.
        "broker_channel_error_retry": True,
    }


def _on_rabbitmq() -> dict[str, Any]:
    options = {
        # A message counts as sent when the server has it on its disks; without, what is lost on the way is lost in
        # silence.
        "confirm_publish": True,
        # With the defaults a process that waits for an answer on a half-open connection waits for good.
        "read_timeout": 10,
        "write_timeout": 10,
    }
    return {
        "broker_transport_options": options,
        # The worker's own connection: two missed heartbeats, and it is made anew. The default notices after four
        # minutes.
        "broker_heartbeat": 10,
        # Queues on the disks of a majority of the servers; the classic ones live on one. Clients must name the same
        # type: see docs/how-to/celery-callers.md.
        "task_default_queue_type": QUEUE_TYPE,
    }


def beat_settings(settings: Settings) -> dict[str, Any]:
    """RedBeat, so that a second beat can stand by; our own two entries, and the user's; raises `SettingsError` for
    these.
    """
    hint = {"expires": HINT_EXPIRES}
    own = read_schedules(settings.schedules_file) if settings.schedules_file else {}
    return {
        "beat_scheduler": "redbeat.RedBeatScheduler",
        "redbeat_redis_url": celery_url(settings.redis_url),
        "redbeat_redis_options": {"socket_timeout": 10, "socket_connect_timeout": 5, "retry_period": 60},
        "redbeat_key_prefix": "longhaul:redbeat:",
        # A beat that stands by asks for the lock this often. With the defaults of 300 s, and of five times that for the
        # lock, a dead beat is replaced in 25 to 30 minutes; here in 20 to 25 s.
        "beat_max_loop_interval": 5,
        "redbeat_lock_timeout": 20,
        "beat_schedule": {
            "longhaul-dispatch": {"task": "jobs.dispatch", "schedule": TICK, "options": hint},
            "longhaul-sweep": {"task": "jobs.sweep", "schedule": SWEEP, "options": hint},
            **own,
        },
    }
