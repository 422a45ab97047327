"""When a recurring crawl runs: at its creation, then every hour, day, week or month after that. Pure; times in epoch
seconds, days in UTC.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from longhaul.scraperapi.crawl_models import ONCE

HOUR_SECONDS = 3600.0
INTERVAL_SECONDS = {"hourly": HOUR_SECONDS, "daily": 24 * HOUR_SECONDS, "weekly": 7 * 24 * HOUR_SECONDS}
"""Without `monthly`, because months differ in length."""
MONTHLY = "monthly"


def next_run(created: float, interval: str, after: float) -> float | None:
    """The first time after `after` at which a crawl of this interval, made at `created`, is due again; None where it
    does not recur.

    Counted from the creation, so that a late run does not move those after it. A month later is the same day of the
    next month, or its last day where it has no such day.
    """
    if interval == ONCE:
        return None
    if interval == MONTHLY:
        return _monthly(created, after)
    step = INTERVAL_SECONDS[interval]
    return created + step * max(1, (after - created) // step + 1)


def _monthly(created: float, after: float) -> float:
    first, seen = datetime.fromtimestamp(created, UTC), datetime.fromtimestamp(max(after, created), UTC)
    months = max(1, (seen.year - first.year) * 12 + seen.month - first.month)
    time = _months_later(first, months)
    return time if time > after else _months_later(first, months + 1)


def _months_later(first: datetime, months: int) -> float:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return first.replace(year=year, month=month + 1, day=min(first.day, last)).timestamp()
