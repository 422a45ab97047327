"""The remote of the soak: `python -m tests.soak.patient PORT DIARY`. Every job runs until somebody tells it otherwise.

`PUT /mode/<mode>` tells it: see `MODES`. The remote's id of a job is the number at the end of its URL. Each request is
written down in the diary: number, what was answered, when. `PUT /sync` brings everything heard so far into the file. It
is cheap, for it shares the cores with what is measured, and keeps nothing in memory.
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
RETRY_AFTER = 10
MODES = ("running", "outage", "patience", "throttled", "finished")
"""`patience` is 429 with `Retry-After`, `throttled` 429 without."""
FLUSH_AT = 64 * 1024


class Answer(IntEnum):
    """What a request was answered."""

    RUNNING = 0
    OUTAGE = 1
    THROTTLED = 2
    FINISHED = 3
    SUBMITTED = 4


OUTAGE = answered(b"out of service", b"text/plain", b"503 Service Unavailable")
THROTTLED = answered(b"too many requests", b"text/plain", b"429 Too Many Requests")
PATIENCE = THROTTLED.replace(b"Content-Type", b"Retry-After: %d\r\nContent-Type" % RETRY_AFTER)
UNKNOWN = answered(b"no such job", b"text/plain", b"404 Not Found")
DONE = answered(b"{}")
RUNNING = b'{"id":"%d","status":"running","statusUrl":"","url":"http://target.invalid/%d"}'
FINISHED = (
    b'{"id":"%d","status":"finished","url":"http://target.invalid/%d","response":{"statusCode":200,'
    b'"headers":{"sa-statuscode":"200","sa-credit-cost":"1"},"body":"page %d"}}'
)
REFUSALS = {
    b"outage": (Answer.OUTAGE, OUTAGE),
    b"patience": (Answer.THROTTLED, PATIENCE),
    b"throttled": (Answer.THROTTLED, THROTTLED),
}


class Patient(BareHttp):
    """One process is the whole remote."""

    mode = b"running"
    heard = bytearray()
    diary: IO[bytes]

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        if method == b"PUT":
            return told(path)
        if method == b"POST":
            at = body.index(b"target.invalid/") + 15
            number, asked = int(body[at : body.index(b'"', at)]), Answer.SUBMITTED
        else:
            name = path.rsplit(b"/", 1)[1]
            if not name.isdigit():
                # A worker that starts asks for a job that does not exist.
                return UNKNOWN
            number, asked = int(name), Answer.RUNNING
        given, whole = REFUSALS.get(Patient.mode) or taken(number, asked)
        Patient.heard += RECORD.pack(number, given, time.time())
        if len(Patient.heard) > FLUSH_AT:
            flush()
        return whole


def taken(number: int, asked: Answer) -> tuple[Answer, bytes]:
    if asked is Answer.RUNNING and Patient.mode == b"finished":
        return Answer.FINISHED, answered(FINISHED % (number, number, number))
    return asked, answered(RUNNING % (number, number))


def told(path: bytes) -> bytes:
    if path.startswith(b"/mode/"):
        Patient.mode = path.rsplit(b"/", 1)[1]
    flush()
    return DONE


def flush() -> None:
    Patient.diary.write(Patient.heard)
    Patient.diary.flush()
    Patient.heard.clear()


if __name__ == "__main__":
    with Path(sys.argv[2]).open("wb") as diary:
        Patient.diary = diary
        serve(Patient, int(sys.argv[1]))
