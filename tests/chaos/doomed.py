"""A worker that kills itself: `celery -A tests.chaos.doomed worker`. The app is ours, unchanged but for the moment of
its death.

`DOOM_AT` names one of `tests.chaos.intake.POINTS`, `DOOM_AFTER` how often it is passed before; at `any`, how many
milliseconds after the first message. `DOOM_TRANSPORT=stock` puts kombu's own transport in the place of ours.
"""

from __future__ import annotations

import os
import signal
import threading
from itertools import count
from typing import Any

from celery.signals import task_postrun, task_prerun, task_received
from kombu.transport import redis as stock

from config.celery_settings import INTAKE, is_redis
from workers.app import app
from workers.broker import redis_transport as ours

kombu: Any = stock if os.environ.get("DOOM_TRANSPORT") == "stock" else ours
passed = count(1)


def passing(point: str) -> None:
    """Die here, if this is where and when."""
    if point == os.environ.get("DOOM_AT") and next(passed) > int(os.environ["DOOM_AFTER"]):
        die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class QoS(kombu.QoS):
    def append(self, message: Any, delivery_tag: str) -> None:
        super().append(message, delivery_tag)
        passing("recorded")

    def ack(self, delivery_tag: str) -> None:
        passing("acknowledging")
        super().ack(delivery_tag)


class Channel(kombu.Channel):
    QoS = QoS

    def _brpop_start(self, timeout: float | None = None) -> None:
        super()._brpop_start(timeout)
        if self._in_poll:
            passing("asked")


class Transport(kombu.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if queue == INTAKE:
            passing("answered")
        super()._deliver(message, queue)


def wind_up(**_: Any) -> None:
    """At the first message: death at no point in particular."""
    if os.environ.get("DOOM_AT") == "any" and next(passed) == 1:
        clock = threading.Timer(int(os.environ["DOOM_AFTER"]) / 1000, die)
        clock.daemon = True
        clock.start()


task_received.connect(wind_up)
task_prerun.connect(lambda **_: passing("begun"), weak=False)
task_postrun.connect(lambda **_: passing("done"), weak=False)
if is_redis(app.conf.broker_url):
    app.conf.broker_transport = "tests.chaos.doomed:Transport"
