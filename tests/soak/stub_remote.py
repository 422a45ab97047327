"""The remote of the soak: `python -m tests.soak.stub_remote PORT FILE`. Every job is running until the mode is changed.

`PUT /mode/<mode>` sets the mode: see `MODES`. The remote id of a job is the number at the end of its URL. Each request
is logged to the file: number, answer, time. `PUT /flush` writes what is still in memory. The stub must be cheap: it
shares the cores with what is measured.
"""

from __future__ import annotations

import sys
import time
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import IO

from benchmarks.bare_http import BareHttp, answered, serve

RECORD = Struct("<IBd")
RETRY_AFTER_SECONDS = 10
MODES = ("running", "outage", "retry_after", "throttled", "finished")
"""`retry_after` is 429 with that header, `throttled` 429 without it."""
FLUSH_AT_BYTES = 64 * 1024


class Answer(IntEnum):
    """The answer to a request."""

    RUNNING = 0
    OUTAGE = 1
    THROTTLED = 2
    FINISHED = 3
    SUBMITTED = 4


OUTAGE = answered(b"out of service", b"text/plain", b"503 Service Unavailable")
THROTTLED = answered(b"too many requests", b"text/plain", b"429 Too Many Requests")
WITH_RETRY_AFTER = THROTTLED.replace(b"Content-Type", b"Retry-After: %d\r\nContent-Type" % RETRY_AFTER_SECONDS)
UNKNOWN = answered(b"no such job", b"text/plain", b"404 Not Found")
DONE = answered(b"{}")
RUNNING = b'{"id":"%d","status":"running","statusUrl":"","url":"http://target.invalid/%d"}'
FINISHED = (
    b'{"id":"%d","status":"finished","url":"http://target.invalid/%d","response":{"statusCode":200,'
    b'"headers":{"sa-statuscode":"200","sa-credit-cost":"1"},"body":"page %d"}}'
)
REFUSALS = {
    b"outage": (Answer.OUTAGE, OUTAGE),
    b"retry_after": (Answer.THROTTLED, WITH_RETRY_AFTER),
    b"throttled": (Answer.THROTTLED, THROTTLED),
}


class StubRemote(BareHttp):
    """The connections of the only process; they share their mode and their log."""

    mode = b"running"
    pending = bytearray()
    log: IO[bytes]

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        if method == b"PUT":
            return control(path)
        if method == b"POST":
            at = body.index(b"target.invalid/") + 15
            number, asked = int(body[at : body.index(b'"', at)]), Answer.SUBMITTED
        else:
            name = path.rsplit(b"/", 1)[1]
            if not name.isdigit():
                # At its start a worker polls a job that does not exist.
                return UNKNOWN
            number, asked = int(name), Answer.RUNNING
        answer, document = REFUSALS.get(StubRemote.mode) or accept(number, asked)
        StubRemote.pending += RECORD.pack(number, answer, time.time())
        if len(StubRemote.pending) > FLUSH_AT_BYTES:
            flush()
        return document


def accept(number: int, asked: Answer) -> tuple[Answer, bytes]:
    if asked is Answer.RUNNING and StubRemote.mode == b"finished":
        return Answer.FINISHED, answered(FINISHED % (number, number, number))
    return asked, answered(RUNNING % (number, number))


def control(path: bytes) -> bytes:
    if path.startswith(b"/mode/"):
        StubRemote.mode = path.rsplit(b"/", 1)[1]
    flush()
    return DONE


def flush() -> None:
    StubRemote.log.write(StubRemote.pending)
    StubRemote.log.flush()
    StubRemote.pending.clear()


if __name__ == "__main__":
    with Path(sys.argv[2]).open("wb") as log:
        StubRemote.log = log
        serve(StubRemote, int(sys.argv[1]))
