"""What each class of trouble costs, in one place. Seconds.

| class | seen as | when sending | when polling |
|---|---|---|---|
| not ready | running, an unknown status, 404 in the grace time | - | poll again later; free |
| network | no connection | send again; free, for the remote saw nothing | poll again later; free |
| broken off | connection lost, timed out | an attempt, for it may have been billed | poll again later; free |
| outage | 503 | send again; free | poll again later; free |
| error | 500, 502, 504 and other codes | an attempt, for a gateway may have passed it on | poll again later; free |
| malformed | 2xx that is not the contract | an attempt | an attempt |
| account | 401, 403, 429, 404 to a submission, no key | the account's sending pauses | the account's polling pauses |
| rejected | 400, 403 for `max_cost` | the job fails with the remote's words | the job fails with the remote's words |
| too large | an answer over LONGHAUL_MAX_BODY_BYTES | - | the job fails after this one poll |
| lost | 404 after running, 410 | - | submit again, `resubmit` times at most, then expire |

What is free is bounded by the deadline: after it one last poll, then `expired`. What costs an attempt is bounded by
`attempts` as well, with the pauses below about 25 minutes: then the job fails with its last reason. Polls that fail are
free because a poll costs nothing, while the result, if there is one, is paid for.
"""

from __future__ import annotations

from dataclasses import dataclass

OUTAGE_STATUS = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The numbers. `poll_*`: see `backoff.growing`; `retry_*`, `account_*` and `throttle_*`: see `backoff.doubling`."""

    # Those without a default are settings.
    poll_first: float
    poll_growth: float
    poll_ceiling: float
    poll_jitter: float
    deadline: float
    # 404 in this time after submission may be the remote's replication lag.
    grace: float

    # 5, 10, 20 ... 300, 300: nine pauses are about 25 minutes.
    attempts: int = 10
    retry_first: float = 5.0
    retry_ceiling: float = 300.0
    # A submission that never reached the remote is tried again within a minute.
    resend_ceiling: float = 60.0
    # An exhausted account is probed by one job after 30 s, 1, 2, 4 ... 30 minutes.
    account_first: float = 30.0
    account_ceiling: float = 1800.0
    # Too many requests without `Retry-After`: 5, 10, 20 ... 300 s; with it, what the remote says, but at most an hour.
    throttle_first: float = 5.0
    throttle_ceiling: float = 300.0
    retry_after_ceiling: float = 3600.0
