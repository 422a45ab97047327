"""Two beats: one ticks, the other stands by and takes over when the first is stopped or killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from tests.installation import ROOT, clean_environ, until

pytestmark = pytest.mark.slow
LOCK = "longhaul:redbeat::lock"
UPKEEP = "longhaul.upkeep"


@dataclass
class Beat:
    process: subprocess.Popen[bytes]
    log: Path

    def has_logged(self, words: str) -> bool:
        return words in self.log.read_text()


@contextmanager
def beat(redis_url: str, log: Path) -> Iterator[Beat]:
    # Unbuffered: its banner is read while it runs.
    env = {**clean_environ(), "LONGHAUL_REDIS_URL": redis_url, "LONGHAUL_API_KEY": "k", "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        line = [sys.executable, "-m", "celery", "-A", "workers.app", "beat"]
        process = subprocess.Popen(line, env=env, cwd=ROOT, stdout=output, stderr=output)
    try:
        yield Beat(process, log)
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def beats(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[tuple[Beat, Beat]]:
    """(The beat that ticks, the beat that stands by.)"""
    with beat(redis_url, tmp_path / "first.log") as first:
        until(lambda: redis.get(LOCK), "the lock of the first beat")
        with beat(redis_url, tmp_path / "second.log") as second:
            # The last line that it logs before it asks for the lock.
            until(lambda: second.has_logged("maxinterval"), "a second beat")
            yield first, second


def ticks_again(redis: Redis) -> bool:
    """Whether there was a tick since the last call."""
    return bool(redis.delete(UPKEEP))


@pytest.mark.parametrize(("by", "within"), [(signal.SIGKILL, 26.0), (signal.SIGTERM, 8.0)], ids=["killed", "stopped"])
def test_the_second_beat_takes_over_from_the_first(
    redis: Redis, beats: tuple[Beat, Beat], by: signal.Signals, within: float
) -> None:
    first, second = beats
    until(lambda: ticks_again(redis), "a tick of the first beat")
    held = redis.get(LOCK)
    first.process.send_signal(by)
    assert first.process.wait(5) == (0 if by == signal.SIGTERM else -signal.SIGKILL)
    redis.delete(UPKEEP)
    until(lambda: ticks_again(redis), "a tick of the second beat", within)
    assert redis.get(LOCK) not in {None, held}
    second.process.terminate()
    assert second.process.wait(5) == 0
    # A beat that ends cleanly releases the lock.
    assert redis.get(LOCK) is None


def test_a_beat_that_stands_by_can_be_stopped_and_the_other_goes_on(redis: Redis, beats: tuple[Beat, Beat]) -> None:
    first, second = beats
    second.process.terminate()
    # While it waits for the lock, SIGTERM ends it directly.
    assert second.process.wait(5) in {0, -signal.SIGTERM}
    assert first.process.poll() is None
    ticks_again(redis)
    until(lambda: ticks_again(redis), "a tick of the first beat")
