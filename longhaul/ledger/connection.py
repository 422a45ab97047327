"""Connections to the ledger that notice a dead peer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisError, TimeoutError  # noqa: A004  (redis' own)

MINIMUM = (6, 2)
AWAY = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)
"""What passes by itself: the server is not there, is starting, is full, or is a replica in the middle of a failover."""

_OPTIONS: Mapping[str, Any] = {
    "decode_responses": True,
    # What is no UTF-8 is the fault of one record. Strictly read, it would fail the answer that it is part of: every
    # record of a batch.
    "encoding_errors": "surrogateescape",
    # With none of these a half-open connection hangs its user for good: bytes swallowed, socket open.
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 5,
}


def connect(url: str) -> Redis:
    """A client of the ledger at `url`; connects at its first command. Text is decoded; one client serves all threads."""
    return Redis.from_url(url, **_OPTIONS)


def connect_loop(url: str) -> AsyncRedis:
    """The same for an event loop: the client belongs to the one that it is first used in."""
    return AsyncRedis.from_url(url, **_OPTIONS)


def problem(redis: Redis) -> str | None:
    """What is wrong with this server as a ledger, in words; None where nothing is."""
    try:
        info = redis.info("server")
        memory = redis.info("memory")
    except RedisError as error:
        return f"does not answer ({error})"
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM:
        return f"is version {version}; 6.2 is the oldest that knows the commands used here"
    policy = memory.get("maxmemory_policy")
    if memory.get("maxmemory", 0) and policy != "noeviction":
        return f"may throw records away (maxmemory-policy is {policy}); set it to noeviction"
    return None
