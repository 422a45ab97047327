"""Connections to the ledger that notice a dead peer, and the proof that a server can be one."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004  (redis' own)
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004  (redis' own)
)

MINIMUM = (6, 2)
AWAY = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)
"""What passes by itself: the server is not there, is starting, is full, or is a replica in the middle of a failover."""

MODES = {
    "cluster": "is a node of a cluster, whose keys lie on several servers, while a script here needs all of its keys "
    "on one: use a server with cluster mode switched off",
    "sentinel": "is a Sentinel, which holds no data: use the address of the server that it watches",
}
"""Why a server that runs in such a mode is refused, and what to do."""

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
    """A client of the server at `url`, which connects at its first command. Text is decoded; one client serves all
    threads. A `rediss://` server must have a certificate that can be verified, unless its address says
    `?ssl_cert_reqs=none`.
    """
    return Redis.from_url(url, **_OPTIONS)


def connect_loop(url: str) -> AsyncRedis:
    """The same for an event loop: the client belongs to the loop in which it is first used."""
    return AsyncRedis.from_url(url, **_OPTIONS)


def problem(redis: Redis) -> str | None:
    """Why this server can be neither ledger nor broker, with the remedy, as the rest of a sentence about it; None where
    it can.
    """
    try:
        server = redis.info("server")
        mode = _mode(server)
        memory = {} if mode in MODES else redis.info("memory")
    except RedisError as error:
        return _refusal(error)
    if mode in MODES:
        return MODES[mode]
    version = str(server.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM:
        return f"is version {version}; 6.2 is the oldest that knows the commands used here"
    policy = memory.get("maxmemory_policy")
    if memory.get("maxmemory", 0) and policy != "noeviction":
        return f"may throw records away (maxmemory-policy is {policy}); set it to noeviction"
    return None


def _mode(server: Mapping[str, Any]) -> str:
    """Redis calls it `redis_mode`, Valkey `server_mode`: `standalone`, `cluster` or `sentinel`."""
    return str(server.get("redis_mode") or server.get("server_mode") or "standalone")


def _refusal(error: RedisError) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"has a certificate that cannot be verified ({cause.verify_message}): name its CA with "
                "?ssl_ca_certs=/path in the address, or switch verification off with ?ssl_cert_reqs=none"
            )
    if isinstance(error, NoPermissionError):
        return f"forbids its user a command that is needed ({error}): allow that user +@all"
    if isinstance(error, AuthenticationError):
        return f"refuses the user or the password in its address ({error})"
    return f"does not answer ({error})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
