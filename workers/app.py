"""The Celery app: `celery -A workers.app worker`, `beat`, `flower`."""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from config.addresses import is_redis
from config.celery_settings import INTAKE, QUEUE_TYPE, ROUTES, WORKER_QUEUES, beat_settings, celery_settings
from config.settings import load
from workers.lifecycle import connect_signals, exit_with_reason
from workers.schedule_arguments import check_schedule_arguments

with exit_with_reason():
    settings = load()
    beat = beat_settings(settings)
    check_schedule_arguments(beat["beat_schedule"], settings)

app = Celery("longhaul", task_cls="tasks.plumbing.redaction:RedactedTask")
app.conf.update(
    celery_settings(settings),
    **beat,
    task_queues=[
        Queue(
            name, routing_key=name, queue_arguments=None if is_redis(settings.broker) else {"x-queue-type": QUEUE_TYPE}
        )
        for name in WORKER_QUEUES
    ],
    task_default_queue=INTAKE,
    task_routes=ROUTES,
    # No message is lost with its worker: see there. RabbitMQ takes care of that itself.
    broker_transport="workers.broker.redis_transport:Transport" if is_redis(settings.broker) else None,
    worker_consumer="workers.broker.consumer:Consumer",
    # A misspelt queue would swallow messages in silence.
    task_create_missing_queues=False,
    imports=(
        "tasks.submit",
        "tasks.send",
        "tasks.poll",
        "tasks.cancel",
        "tasks.crawl",
        "tasks.dispatch",
        "tasks.sweep",
    ),
)
app.set_default()
connect_signals(settings)
