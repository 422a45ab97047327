"""Health checks that prove progress, one for each kind of process: `python -m workers.health worker|fetcher|beat|web URL|flower URL`.

Exit 0 and one line, or 1 and what stands still. The compose file's health checks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import requests
from redis.exceptions import RedisError

from config.settings import Settings, SettingsError, load
from jobs.store import JobStore, Limits
from ledger.connection import connect
from workers.doctor import examine_beat
from workers.lifecycle import EX_CONFIG

LATE = 30.0
"""Seconds without progress; fifteen heartbeats, thirty ticks."""
TIMEOUT = 5.0


class Unhealthy(Exception):
    """What stands still."""


def worker(settings: Settings) -> str:
    """Its own pulse, and the due loop: work is looked for, whichever worker does it."""
    words = fetcher(settings)
    redis = connect(settings.redis_url)
    try:
        store = JobStore(redis, Limits())
        ticked, now = store.ticked(), store.now()
    finally:
        redis.close()
    if ticked is None:
        raise Unhealthy("the due loop has never come round: is beat running?")
    if now - ticked > LATE:
        raise Unhealthy(f"the due loop last came round {now - ticked:.0f} s ago: is beat running?")
    return f"{words}, due loop {max(now - ticked, 0):.0f} s ago"


def fetcher(settings: Settings) -> str:
    """A worker's own pulse."""
    if settings.pulse_file is None:
        raise Unhealthy("LONGHAUL_PULSE_FILE is not set")
    try:
        age = time.time() - settings.pulse_file.stat().st_mtime
    except FileNotFoundError:
        raise Unhealthy("no heartbeat yet") from None
    if age > LATE:
        raise Unhealthy(f"last heartbeat {age:.0f} s ago, or a task hangs")
    return f"heartbeat {age:.0f} s ago"


def beat(settings: Settings) -> str:
    """Its ticks. One that stands by is healthy while the other ticks."""
    redis = connect(settings.redis_url)
    try:
        finding = examine_beat(redis, JobStore(redis, Limits()).now())
    finally:
        redis.close()
    if not finding.ok:
        raise Unhealthy(finding.words)
    return finding.words


def web(url: str) -> str:
    """What the process says of itself at `url`."""
    answer = requests.get(url, timeout=TIMEOUT)
    if not answer.ok:
        raise Unhealthy(f"{url} answers {answer.status_code}: {answer.text[:200]}")
    return f"{url} answers {answer.status_code}"


def flower(url: str) -> str:
    """It hears a worker: its metrics at `url` count one as online."""
    lines = requests.get(url, timeout=TIMEOUT).text.splitlines()
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
