"""A worker that kills itself: `celery -A tests.chaos.intake.crashing_worker worker`. Apart from that it is our app.

`CRASH_AT` names one of `tests.chaos.intake.run.CRASH_POINTS`; `CRASH_AFTER` is how often it is passed before, or, at
`any`, the milliseconds after the first message. `CRASH_TRANSPORT=stock` replaces our transport with kombu's own.
"""

from __future__ import annotations

import os
import signal
import threading
from itertools import count
from typing import Any

from celery.signals import task_postrun, task_prerun, task_received
from kombu.transport import redis as stock

from config.addresses import is_redis
from config.celery_settings import INTAKE
from workers.app import app
from workers.broker import redis_transport as ours

kombu: Any = stock if os.environ.get("CRASH_TRANSPORT") == "stock" else ours
passes = count(1)


def cross(point: str) -> None:
    """Die here, if this is the crash point and the time."""
    if point == os.environ.get("CRASH_AT") and next(passes) > int(os.environ["CRASH_AFTER"]):
        die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class QoS(kombu.QoS):
    def append(self, message: Any, delivery_tag: str) -> None:
        super().append(message, delivery_tag)
        cross("recorded")

    def ack(self, delivery_tag: str) -> None:
        cross("acknowledging")
        super().ack(delivery_tag)


class Channel(kombu.Channel):
    QoS = QoS

    def _brpop_start(self, timeout: float | None = None) -> None:
        super()._brpop_start(timeout)
        if self._in_poll:
            cross("asked")


class Transport(kombu.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if queue == INTAKE:
            cross("answered")
        super()._deliver(message, queue)


def start_timer(**_: Any) -> None:
    """At the first message: die some time later."""
    if os.environ.get("CRASH_AT") == "any" and next(passes) == 1:
        timer = threading.Timer(int(os.environ["CRASH_AFTER"]) / 1000, die)
        timer.daemon = True
        timer.start()


task_received.connect(start_timer)
task_prerun.connect(lambda **_: cross("begun"), weak=False)
task_postrun.connect(lambda **_: cross("done"), weak=False)
if is_redis(app.conf.broker_url):
    app.conf.broker_transport = "tests.chaos.intake.crashing_worker:Transport"
