"""Whether anything is left of the work when all is done: every key is walked, and each that may be there stands here
with its reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from redis import Redis

from longhaul.crawls.store import SPACE as CRAWLS
from longhaul.jobs.store import SPACE as JOBS

ALLOWED = {
    rf"{re.escape(JOBS)}:record:.*": "an ended job, for LONGHAUL_KEEP_ENDED, so that a message delivered again changes nothing",
    rf"{re.escape(CRAWLS)}:(record|seen|previous):.*": "an ended crawl and the pages it knows, likewise",
    r"longhaul:\{(jobs|crawls)\}:(books|lanes|ticked|serial)": "counters of all times",
    r"longhaul:\{(jobs|crawls)\}:pause:.*": "how often a lane was paused of late, or a pause whose lane has no work left, for a day",
    r"longhaul:\{(jobs|crawls)\}:rate:.*": "the bucket of an account with a limit, for a minute",
    r"longhaul:results:.*": "a results queue, empty, with its groups",
    r"celery-task-meta-.*": "what a caller's AsyncResult finds",
    r"_kombu\.binding.*": "which queues there are",
    r"longhaul:redbeat:(?!:lock$).*": "beat's entries, but no lock of one that has stopped",
    r"longhaul:service:.*": "the remote's own, which may still have pushes to try again",
}
ENDING = (r"longhaul:\{(jobs|crawls)\}:(record|pause|rate):.*", r"celery-task-meta-.*")
"""Of these each key must end by itself."""


def leftovers(redis: Redis) -> list[str]:
    """What should not be there, once every part but the server has stopped."""
    faults, unknown = [], Counter()
    for key in redis.scan_iter(count=1000):
        if not any(re.fullmatch(pattern, key) for pattern in ALLOWED):
            unknown[re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}(\.\d+)?", "<id>", key)] += 1
        elif any(re.fullmatch(pattern, key) for pattern in ENDING) and redis.ttl(key) < 0:
            faults.append(f"{key} would stay for ever: {redis.type(key)}")
        elif key.startswith("longhaul:results:") and redis.xlen(key):
            faults.append(f"{key}: {redis.xlen(key)} envelopes that no consumer took")
        elif "}:record:" in key and not key.startswith("longhaul:service:") and redis.hexists(key, "lease"):
            faults.append(f"{key}: a lease")
    return faults + [f"{count} keys {key}" for key, count in sorted(unknown.items())]


def losses(redis: Redis, ids: Sequence[str]) -> dict[str, int]:
    """How often the remote has lost the result of each job, by what its record says."""
    return {id_: int(redis.hget(f"{JOBS}:record:{id_}", "losses") or 0) for id_ in ids}
