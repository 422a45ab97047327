"""Keys that should not remain when everything has ended. Each key that may remain has its reason here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from redis import Redis

from longhaul.crawls.store import SPACE as CRAWLS
from longhaul.jobs.store import SPACE as JOBS

ALLOWED = {
    rf"{re.escape(JOBS)}:record:.*": "an ended job, for LONGHAUL_KEEP_ENDED: a duplicate message is ignored",
    rf"{re.escape(CRAWLS)}:(record|seen|previous):.*": "an ended crawl and its known pages, for as long",
    r"longhaul:\{(jobs|crawls)\}:(books|lanes|ticked|serial)": "counters that never end",
    r"longhaul:\{(jobs|crawls)\}:pause:.*": "a lane's recent pauses, for a day at most",
    r"longhaul:\{(jobs|crawls)\}:rate:.*": "the rate limit of an account, for a minute",
    r"longhaul:results:.*": "an empty results queue with its consumer groups",
    r"celery-task-meta-.*": "what a client's AsyncResult reads",
    r"_kombu\.binding.*": "the broker's list of queues",
    r"longhaul:redbeat:(?!:lock$).*": "beat's entries, but not the lock of a stopped beat",
    r"longhaul:service:.*": "the remote's own keys: it may still retry deliveries",
}
EXPIRING = (r"longhaul:\{(jobs|crawls)\}:(record|pause|rate):.*", r"celery-task-meta-.*")
"""Each of these keys must have a TTL."""


def unexpected_keys(redis: Redis) -> list[str]:
    """The violations among all keys, once every part but the server has stopped."""
    violations: list[str] = []
    unknown: Counter[str] = Counter()
    for key in redis.scan_iter(count=1000):
        if not any(re.fullmatch(pattern, key) for pattern in ALLOWED):
            unknown[re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}(\.\d+)?", "<id>", key)] += 1
        elif any(re.fullmatch(pattern, key) for pattern in EXPIRING) and redis.ttl(key) < 0:
            violations.append(f"{key} has no TTL: {redis.type(key)}")
        elif key.startswith("longhaul:results:") and redis.xlen(key):
            violations.append(f"{key}: {redis.xlen(key)} envelopes that no consumer read")
        elif "}:record:" in key and not key.startswith("longhaul:service:") and redis.hexists(key, "lease"):
            violations.append(f"{key}: a lease")
    return violations + [f"{count} keys {key}" for key, count in sorted(unknown.items())]


def remote_losses(redis: Redis, ids: Sequence[str]) -> dict[str, int]:
    """How often the remote has lost the result of each job, according to its record."""
    return {id_: int(redis.hget(f"{JOBS}:record:{id_}", "losses") or 0) for id_ in ids}
