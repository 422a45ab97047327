"""The fault dial at work: what a POST or a GET gets in place of its true answer. Counts in the ledger how often it did.

A fault of a GET counts for its run; one of a POST for its URL, because there is no run yet. Counters are forgotten
after an hour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis import Redis

from service.faults.words import Fault, find, read
from service.jobs.runs import SPACE

FORGOTTEN_AFTER = 3600


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer this HTTP status in place of the true answer; `retry_after` in seconds."""

    status: int
    retry_after: int | None = None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Give the true answer, but close the connection in the middle of it. The reading does not count as retrieval."""


@dataclass(frozen=True, slots=True)
class Garble:
    """Answer 200 with something that is no JSON."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Answer with a status string that no client knows."""


Reply = Refuse | Cut | Garble | Rename


class Dial:
    """Decides for each call which of the run's faults happens now, in the order in which they are named."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def on_post(self, url: str, spec: str) -> Reply | None:
        """What a submission of `url` gets; None: the true answer."""
        subject = hashlib.sha256(url.encode()).hexdigest()
        faults = read(spec)
        for fault in faults:
            if fault.kind.startswith("post") and self._happens(subject, fault):
                return Cut() if fault.kind == "postcut" else _refuse(fault, faults)
        return None

    def on_get(self, run_id: str, fields: Mapping[str, str]) -> Reply | None:
        """What a reader of the run gets; None: the true answer."""
        faults = read(fields["faults"])
        finished = fields["state"] == "finished"
        for fault in faults:
            if (reply := _reply(fault, faults, finished=finished)) is not None and self._happens(run_id, fault):
                return reply
        return None

    def on_delete(self, crawl_id: str, spec: str) -> Refuse | None:
        """What a cancellation of the crawl gets; None: the true answer."""
        faults = read(spec)
        for fault in faults:
            if fault.kind.startswith("delete") and self._happens(crawl_id, fault):
                return _refuse(fault, faults)
        return None

    def _happens(self, subject: str, fault: Fault) -> bool:
        if fault.first is None:
            return True
        key = f"{SPACE}:fault:{fault.kind}:{subject}"
        pipe = self._redis.pipeline(transaction=True)
        pipe.incr(key)
        pipe.expire(key, FORGOTTEN_AFTER)
        count, _ = pipe.execute()
        return int(count) <= fault.first


def _reply(fault: Fault, faults: Sequence[Fault], *, finished: bool) -> Reply | None:  # noqa: PLR0911  (one line a kind)
    plain = find(faults, "plain") is not None
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
    return Refuse(int(fault.kind[-3:]), fault.second, plain=find(faults, "plain") is not None)
