"""The logs: nothing at ERROR that isn't the harm itself. Each line that may be there stands here with its reason."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ERRORS = {"error", "critical"}
AWAY = (
    r"redis\.exceptions\.(Connection|Timeout|OutOfMemory|ReadOnly|BusyLoading)Error|kombu\.exceptions\.OperationalError"
)
ALLOWED = {
    rf"raised unexpected.*({AWAY})": "a hint's task meets a server that is away: the work stays due",
    rf"consumer: Cannot connect|Connection to (broker|Redis) lost|{AWAY}": "a connection is lost, and made again",
    r"^beat.*(LockError|LockNotOwnedError|'NoneType' object has no attribute 'extend')": "a beat without lock ends, and is started again",
    r"RestartFreqExceeded": "Celery reconnects to a server that refuses it, and rests for a second",
    r"calls had no outcome within": "a worker that was frozen for longer than a batch may take gives the batch up: its leases end",
    r"Unrecoverable error|Error on stopping Hub": "Celery 5.7 may end while it reconnects (docs/how-to/operations.md); it is started again",
}
"""Of lines at ERROR, until the harm is over."""
ALWAYS = {
    r"ASGI callable returned without completing response": "the dial's `cut`: the service's server says that it cut an answer off"
}
WAKE = 90.0
"""Seconds that the harm takes to be forgotten, and by which the workers' clocks are wrong."""
SERVER = "redis.log"


@dataclass
class Logbook:
    """`allowed` counts lines at ERROR by their reason, `faults` the others, `given_up` events that the remote has given
    up, by its crawl.
    """

    allowed: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)


def read_logs(folder: Path, calm: float = 0.0) -> Logbook:
    """All logs of a folder but the server's own. `calm`: when the harm was over (epoch seconds); 0: there was none."""
    book = Logbook()
    for path in sorted(folder.glob("*.log")):
        if path.name != SERVER:
            for event in _events(path):
                _note(book, path.stem, event, calm)
    return book


def _note(book: Logbook, part: str, event: dict[str, Any], calm: float) -> None:
    if event.get("event") == "event given up":
        book.given_up[str(event.get("crawl"))] += 1
    if event.get("level") not in ERRORS:
        return
    text = f"{part}: {event.get('event', '')} {event.get('exception', '')} {event.get('error', '')}"
    late = "timestamp" in event and datetime.fromisoformat(event["timestamp"]).timestamp() > calm + WAKE
    for pattern, reason in (ALWAYS if late else ALLOWED | ALWAYS).items():
        if re.search(pattern, text, re.DOTALL):
            book.allowed[reason] += 1
            return
    book.faults[_short(text)] += 1


def _events(path: Path) -> Iterator[dict[str, Any]]:
    plain: list[str] = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            plain.append(line)
            continue
        if plain:
            yield _unstructured(plain)
            plain = []
        if isinstance(event, dict):
            yield event
    if plain:
        yield _unstructured(plain)


def _unstructured(lines: list[str]) -> dict[str, Any]:
    """What was said past the log: at ERROR where it is a traceback."""
    text = "\n".join(lines)
    return {"level": "error" if "Traceback" in text else "info", "event": text}


def _short(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(
        r"[0-9a-f]{8}-[0-9a-f-]{27}(\.\d+)?",
        "<id>",
        " | ".join([lines[0][:300], *(lines[-1:] if len(lines) > 1 else [])]),
    )[:600]
