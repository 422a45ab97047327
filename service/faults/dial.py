"""What the fault dial answers to a POST, GET or DELETE in place of the true answer. Counts in the ledger how often.

A fault of a GET or DELETE is counted by its run or crawl; one of a POST by its URL, because there is no run yet.
Counters expire after an hour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis

from service.faults.words import Fault, find_fault, read_faults

SPACE = "longhaul:service:{faults}"
COUNTERS_EXPIRE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer this HTTP status in place of the true answer; `retry_after` in seconds."""

    status: int
    retry_after: int | None = None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Give the true answer, but close the connection in the middle of it. The result is not retrieved."""


@dataclass(frozen=True, slots=True)
class Garble:
    """Answer 200 with something that is not JSON."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Answer with a status string that no client knows."""


Reply = Refuse | Cut | Garble | Rename


class Dial:
    """Decides for each call which fault happens now, in the order in which they are named."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def on_post(self, url: str, spec: str) -> Reply | None:
        """What a submission of `url` gets; None: the true answer."""
        target = hashlib.sha256(url.encode()).hexdigest()
        faults = read_faults(spec)
        for fault in faults:
            if fault.kind.startswith("post") and self._occurs(target, fault):
                return Cut() if fault.kind == "postcut" else _refuse(fault, faults)
        return None

    def on_get(self, run_id: str, spec: str, *, finished: bool = False) -> Reply | None:
        """What a GET of the run or crawl gets; None: the true answer. `finished`: there is a result to read."""
        faults = read_faults(spec)
        for fault in faults:
            if (reply := _reply(fault, faults, finished=finished)) is not None and self._occurs(run_id, fault):
                return reply
        return None

    def on_delete(self, crawl_id: str, spec: str) -> Refuse | None:
        """What a cancellation of the crawl gets; None: the true answer."""
        faults = read_faults(spec)
        for fault in faults:
            if fault.kind.startswith("delete") and self._occurs(crawl_id, fault):
                return _refuse(fault, faults)
        return None

    def _occurs(self, target: str, fault: Fault) -> bool:
        if fault.first is None:
            return True
        key = f"{SPACE}:{fault.kind}:{target}"
        pipe = self._redis.pipeline(transaction=True)
        pipe.incr(key)
        pipe.expire(key, COUNTERS_EXPIRE_SECONDS)
        count, _ = pipe.execute()
        return int(count) <= fault.first


def _reply(fault: Fault, faults: Sequence[Fault], *, finished: bool) -> Reply | None:  # noqa: PLR0911  (a line a kind)
    plain = find_fault(faults, "plain") is not None
    match fault.kind:
        case "notfound":
            return Refuse(404, plain=plain)
        case "expire" if finished:
            return Refuse(404, plain=plain)
        case "gone" if finished:
            return Refuse(410, plain=plain)
        case "cut" if finished:
            return Cut()
        case "badjson":
            return Garble()
        case "unknownstatus":
            return Rename()
        case kind if kind.startswith("get"):
            return _refuse(fault, faults)
        case _:
            return None


def _refuse(fault: Fault, faults: Sequence[Fault]) -> Refuse:
    return Refuse(int(fault.kind[-3:]), fault.second, plain=find_fault(faults, "plain") is not None)
