"""Messages that no worker can handle: kept, whatever is wrong with them, never lost, and sent again on command."""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from longhaul.ledger.connection import connect
from longhaul.ledger.dead_letters import DROPPED, MOST, STREAM, DeadLetter, DeadLetters
from tests.conftest import free_port
from tests.installation import QUEUE, Installation, installed, until
from workers.local.embedded_server import serving

GOOD = [
    [],
    {"url": "http://ok.fault.invalid/dead", "queue": QUEUE},
    {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
]
SECRET = "hunter2-in-the-body"


def raw(redis: Redis, body: bytes, queue: str = "celery", **changes: Any) -> None:
    """Put a message into a queue of the Redis broker as Celery's wire has it, but for `changes`."""
    id_ = str(uuid.uuid4())
    headers = {
        "lang": "py",
        "task": "jobs.submit",
        "id": id_,
        "root_id": id_,
        "parent_id": None,
        "group": None,
        "kwargsrepr": SECRET,
    }
    properties = {
        "correlation_id": id_,
        "reply_to": str(uuid.uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    message = {
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    message |= {name.replace("_", "-"): value for name, value in changes.items() if name != "headers"}
    if "headers" in changes:
        given = changes["headers"]
        message["headers"] = headers | given if isinstance(given, dict) else given
    redis.lpush(queue, json.dumps({"body": base64.b64encode(body).decode(), **message}))


GOOD_BODY = json.dumps(GOOD).encode()
BAD = {
    "no JSON": (b"{" + SECRET.encode(), {}),
    "bytes": (b"\xff\xfe", {}),
    "pickle": (b"\x80\x04N.", {"content_type": "application/x-python-serialize", "content_encoding": "binary"}),
    "an unknown type": (b"x", {"content_type": "application/x-nobody-knows", "content_encoding": "binary"}),
    "no compressed body": (GOOD_BODY, {"headers": {"compression": "application/x-gzip"}}),
    "a number": (b"5", {}),
    "a string": (b'"x"', {}),
    "null": (b"null", {}),
    "an object": (b'{"url": "x"}', {}),
    "one part": (b"[1]", {}),
    "keywords that are none": (b"[[], [], {}]", {}),
    "arguments that are none": (b"[5, {}, {}]", {}),
    "an unknown task": (GOOD_BODY, {"headers": {"task": "jobs.sumbit"}}),
    "a task that is none": (GOOD_BODY, {"headers": {"task": ["jobs.submit"]}}),
    "no task": (GOOD_BODY, {"headers": []}),
    "no id": (GOOD_BODY, {"headers": {"id": None}}),
    "a wrong time": (GOOD_BODY, {"headers": {"eta": "soon"}}),
    "a wrong end": (GOOD_BODY, {"headers": {"expires": "soon"}}),
}


@pytest.fixture
def letters(longhaul: Installation) -> Iterator[DeadLetters]:
    longhaul.redis.delete(STREAM, DROPPED)
    yield DeadLetters(longhaul.redis)
    longhaul.redis.delete(STREAM, DROPPED)


@pytest.mark.parametrize("name", BAD)
def test_a_message_that_no_worker_can_handle_is_kept_and_no_worker_ends_by_it(
    longhaul: Installation, letters: DeadLetters, name: str
) -> None:
    body, changes = BAD[name]
    began, before = len(longhaul.lines), [child.process.pid for child in longhaul.processes._children]
    raw(longhaul.redis, body, **changes)
    until(lambda: letters.count() == 1, "a dead letter")
    ((_, letter),) = letters.each()
    assert (letter.body, letter.queue) == (body, "celery")
    assert "kwargsrepr" not in letter.headers
    until(lambda: not longhaul.redis.hlen("unacked"), "nothing under way")
    assert longhaul.redis.llen("celery") == 0
    # The worker goes on, and no body is in its log.
    job = longhaul.submit("http://ok.fault.invalid/after")
    assert longhaul.envelope(job)["status"] == "finished"
    assert before == [child.process.pid for child in longhaul.processes._children]
    said = [line for _, line in longhaul.lines[began:]]
    assert any("kept as a dead letter" in line for line in said)
    assert SECRET not in "\n".join(said)


def test_a_worker_says_that_it_dropped_the_oldest(longhaul: Installation, letters: DeadLetters) -> None:
    pipe = longhaul.redis.pipeline(transaction=False)
    for _ in range(MOST):
        pipe.xadd(STREAM, {"queue": "celery", "reason": "why", "task": "full", "size": 1, "letter": "{}"})
    pipe.execute()
    began = len(longhaul.lines)
    raw(longhaul.redis, b"5")
    until(lambda: letters.dropped() == 1, "one dropped")
    assert letters.count() == MOST
    until(
        lambda: any(
            "error" in line and "dropped for it" in line and "dropped=1" in line for _, line in longhaul.lines[began:]
        ),
        "its line",
    )


def test_a_compressed_body_is_kept_decompressed(longhaul: Installation, letters: DeadLetters) -> None:
    raw(longhaul.redis, zlib.compress(b"5"), headers={"compression": "application/x-gzip"})
    until(lambda: letters.count() == 1, "a dead letter")
    ((_, letter),) = letters.each()
    assert (letter.body, letter.headers.get("compression")) == (b"5", None)


def test_a_client_that_waits_for_an_unknown_task_gets_its_error(longhaul: Installation, letters: DeadLetters) -> None:
    result = longhaul.client.send_task("jobs.sumbit", kwargs={"url": "http://ok.fault.invalid/"})
    with pytest.raises(Exception, match="sumbit"):
        result.get(timeout=30)
    assert letters.count() == 1


def test_a_dead_letter_that_is_sent_again_is_an_ordinary_message(longhaul: Installation, letters: DeadLetters) -> None:
    job = str(uuid.uuid4())
    letters.keep(
        DeadLetter(
            "celery", "why", GOOD_BODY, "application/json", "utf-8", {"task": "jobs.submit", "id": job, "lang": "py"}
        )
    )
    letters.keep(
        DeadLetter("celery", "why", b"5", "application/json", "utf-8", {"task": "jobs.submit", "id": "x", "lang": "py"})
    )
    done = longhaul.command("retry", "--dead-letters")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert longhaul.envelope(job)["status"] == "finished"
    # What is as bad as before comes back.
    until(lambda: letters.count() == 1, "the other one")


def test_a_message_is_not_lost_while_the_ledger_is_away_and_is_kept_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    ledger = serving(port, tmp_path)
    redis_url = ledger.__enter__()
    try:
        with (
            serving(free_port()) as broker_url,
            connect(broker_url) as broker,
            # Longer than this test waits: it is the worker itself that tries again.
            installed(
                redis_url,
                {"LONGHAUL_BROKER_URL": broker_url, "LONGHAUL_VISIBILITY_TIMEOUT": "300"},
                leave_out=("flower", "webhook"),
            ) as apart,
        ):
            ledger.__exit__(None, None, None)
            raw(broker, b"5")
            until(lambda: any("a dead letter cannot be kept" in line for _, line in apart.lines), "the first try")
            assert broker.llen("celery") + broker.hlen("unacked") >= 1
            ledger = serving(port, tmp_path)
            ledger.__enter__()
            until(lambda: DeadLetters(apart.redis).count(), "the dead letter", 60)
            until(lambda: not broker.hlen("unacked"), "nothing under way")
    finally:
        ledger.__exit__(None, None, None)
