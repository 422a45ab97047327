"""Check the logs: no line at ERROR that the faults do not explain. Each line that is allowed has its reason here."""

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
LOCK_LOST = r"LockError|LockNotOwnedError|'NoneType' object has no attribute 'extend'"
ALLOWED = {
    rf"raised unexpected.*({AWAY})": "a task meets a server that is away: the work stays due",
    rf"consumer: Cannot connect|Connection to (broker|Redis) lost|{AWAY}": "a connection is lost and made again",
    rf"^beat.*({LOCK_LOST})": "a beat without its lock ends and is restarted",
    r"RestartFreqExceeded": "Celery reconnects to a server that refuses it, and waits for a second",
    r"calls had no outcome within": "a worker that was frozen for longer than a batch may take gives it up",
    r"Unrecoverable error|Error on stopping Hub": "Celery 5.7 may end while it reconnects; it is restarted",
}
"""Lines at ERROR that are allowed until the faults are over, and their reasons."""
ALWAYS_ALLOWED = {
    r"ASGI callable returned without completing response": "uvicorn reports an answer that the dial cut off"
}
AFTERMATH_SECONDS = 90.0
"""For which faults may still cause errors; includes the error of the workers' clocks."""
SERVER_LOG = "redis.log"


@dataclass
class LogReport:
    """`allowed`: lines at ERROR by the reason that allows them. `violations`: the others. `given_up`: events that the
    remote gave up delivering, by its crawl id.
    """

    allowed: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)


def check_logs(folder: Path, faults_ended: float = 0.0) -> LogReport:
    """Check all logs of a folder but the server's own. `faults_ended`: epoch seconds; 0 where there were no faults."""
    report = LogReport()
    for path in sorted(folder.glob("*.log")):
        if path.name != SERVER_LOG:
            for event in _events(path):
                _check_event(report, path.stem, event, faults_ended)
    return report


def _check_event(report: LogReport, part: str, event: dict[str, Any], faults_ended: float) -> None:
    if event.get("event") == "event given up":
        report.given_up[str(event.get("crawl"))] += 1
    if event.get("level") not in ERRORS:
        return
    text = f"{part}: {event.get('event', '')} {event.get('exception', '')} {event.get('error', '')}"
    late = (
        "timestamp" in event
        and datetime.fromisoformat(event["timestamp"]).timestamp() > faults_ended + AFTERMATH_SECONDS
    )
    for pattern, reason in (ALWAYS_ALLOWED if late else ALLOWED | ALWAYS_ALLOWED).items():
        if re.search(pattern, text, re.DOTALL):
            report.allowed[reason] += 1
            return
    report.violations[_short(text)] += 1


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
    """An event of lines that are no JSON: at ERROR where they are a traceback."""
    text = "\n".join(lines)
    return {"level": "error" if "Traceback" in text else "info", "event": text}


def _short(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(
        r"[0-9a-f]{8}-[0-9a-f-]{27}(\.\d+)?",
        "<id>",
        " | ".join([lines[0][:300], *(lines[-1:] if len(lines) > 1 else [])]),
    )[:600]
