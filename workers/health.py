"""Health checks that prove progress, one for each kind of process: `python -m workers.health worker|fetcher|beat|web
URL|flower URL`.

Exit 0 and one line, or 1 and what has stopped. The compose file's health checks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import requests
from redbeat.decoder import RedBeatJSONDecoder
from redis import Redis
from redis.exceptions import RedisError

from config.celery_settings import TICK
from config.settings import Settings, SettingsError, load
from tasks.plumbing.runtime import build
from workers.lifecycle import EX_CONFIG

LATE_SECONDS = 30.0
"""Without progress for so long: fifteen heartbeats, thirty ticks."""
BEAT_LATE_SECONDS = 30 * TICK
TIMEOUT_SECONDS = 5.0
BEAT_ENTRY = "longhaul:redbeat:longhaul-dispatch"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check; `remedy` says what to do where it is not ok."""

    check: str
    ok: bool
    words: str
    remedy: str = ""


class Unhealthy(Exception):
    """Something has stopped; the message says what."""


def worker(settings: Settings) -> str:
    """Its own heartbeat, and the due loop of every family: some worker looks for due work."""
    words = fetcher(settings)
    with closing(build(settings)) as runtime:
        ages = [_due_loop_age(name, store.ticked(), store.now()) for name, store in runtime.families.items()]
    return f"{words}, due loop {max(ages):.0f} s ago"


def _due_loop_age(family: str, ticked: float | None, now: float) -> float:
    if ticked is None:
        raise Unhealthy(f"the due loop of {family} has never run: is beat running?")
    if now - ticked > LATE_SECONDS:
        raise Unhealthy(f"the due loop of {family} last ran {now - ticked:.0f} s ago: is beat running?")
    return max(now - ticked, 0.0)


def fetcher(settings: Settings) -> str:
    """A worker's own heartbeat."""
    if settings.heartbeat_file is None:
        raise Unhealthy("LONGHAUL_HEARTBEAT_FILE is not set")
    try:
        age = time.time() - settings.heartbeat_file.stat().st_mtime
    except FileNotFoundError:
        raise Unhealthy("no heartbeat yet") from None
    if age > LATE_SECONDS:
        raise Unhealthy(f"last heartbeat {age:.0f} s ago, or a task hangs")
    return f"heartbeat {age:.0f} s ago"


def beat(settings: Settings) -> str:
    """Its ticks. One that stands by is healthy while the other ticks."""
    with closing(build(settings)) as runtime:
        finding = examine_beat(runtime.redis, runtime.families["jobs"].now())
    if not finding.ok:
        raise Unhealthy(finding.words)
    return finding.words


def examine_beat(redis: Redis, now: float) -> Finding:
    """Whether some beat ticks."""
    meta = redis.hget(BEAT_ENTRY, "meta")
    ran = _last_run(str(meta)) if meta else None
    if ran is None:
        return Finding("beat", ok=False, words="has never ticked", remedy="Start one: celery -A workers.app beat")
    if now - ran > BEAT_LATE_SECONDS:
        return Finding(
            "beat",
            ok=False,
            words=f"last ticked {now - ran:.0f} s ago",
            remedy="Is `celery -A workers.app beat` running? Jobs wait for its tick.",
        )
    return Finding("beat", ok=True, words=f"ticked {max(now - ran, 0):.0f} s ago")


def _last_run(meta: str) -> float | None:
    ran = json.loads(meta, cls=RedBeatJSONDecoder).get("last_run_at")
    return ran.timestamp() if ran else None


def web(url: str) -> str:
    """What the process says of itself at `url`."""
    answer = requests.get(url, timeout=TIMEOUT_SECONDS)
    if not answer.ok:
        raise Unhealthy(f"{url} answers {answer.status_code}: {answer.text[:200]}")
    return f"{url} answers {answer.status_code}"


def flower(url: str) -> str:
    """It hears a worker: its metrics at `url` count one as online."""
    lines = requests.get(url, timeout=TIMEOUT_SECONDS).text.splitlines()
    online = sum(line.startswith("flower_worker_online{") and line.endswith(" 1.0") for line in lines)
    if not online:
        raise Unhealthy("hears no worker")
    return f"hears {online} worker(s)"


OF_SETTINGS = {"worker": worker, "fetcher": fetcher, "beat": beat}
OF_ADDRESS = {"web": web, "flower": flower}


def main(arguments: Sequence[str]) -> int:
    """Run the check that `arguments` name; returns the exit code."""
    try:
        match arguments:
            case [name] if name in OF_SETTINGS:
                words = OF_SETTINGS[name](load())
            case [name, url] if name in OF_ADDRESS:
                words = OF_ADDRESS[name](url)
            case _:
                sys.stderr.write(f"{__doc__}\n")
                return EX_CONFIG
    except (Unhealthy, SettingsError, RedisError, requests.RequestException) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{words}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
