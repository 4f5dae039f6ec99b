"""One URL to connections of redis-py: where single, Sentinel, Cluster and TLS are told apart."""

from __future__ import annotations

from typing import Final

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

# Longer than any script may take, much shorter than a lease: a Redis that does not answer for so long is out of reach.
TIMEOUT_S: Final = 2.0

# What has to do with the connection itself: no server, no answer, no access, no such database, or something that is no
# Redis at all. uvloop raises RuntimeError ("the handler is closed") where asyncio raises ConnectionResetError, when a
# connection is reset while it is being made or written to.
OUT_OF_REACH: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.InvalidResponse,
    exceptions.ResponseError,
    OSError,
    RuntimeError,
)


def open_pool(url: str, timeout_s: float | None = None) -> ConnectionPool:
    """Make a pool for a `redis://`, `rediss://` or `unix://` URL; its connections connect on first use.

    None retries by itself: what is asked for again, and what must come first, is the link's to decide.

    Args:
        url: of Redis.
        timeout_s: of each reply; None leaves that to the caller, who puts one limit around a whole pipeline.
    """
    return ConnectionPool.from_url(
        url,
        protocol=2,
        socket_timeout=timeout_s,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


def open_client(url: str) -> Redis:
    """Make a client for the same URLs."""
    return Redis.from_pool(open_pool(url, TIMEOUT_S))


def database_of(url: str) -> int:
    """The number of the database that a URL names."""
    return int(open_pool(url).connection_kwargs.get("db") or 0)
