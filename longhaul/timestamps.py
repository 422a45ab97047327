"""Times as the world reads them: ISO 8601. Inside Longhaul a time is a number of epoch seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1024)
def iso(seconds: float) -> str:
    """Epoch seconds as ISO 8601, UTC, in milliseconds. Cached: the jobs of a batch share their times.

    >>> iso(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
