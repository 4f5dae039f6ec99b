"""One URL to a client of redis-py: where single, Sentinel, Cluster and TLS are told apart."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

# Longer than any script may take, much shorter than a lease: a Redis that does not answer for so long is out of reach.
TIMEOUT_S = 2.0


def open_client(url: str) -> Redis:
    """Make a client for a `redis://`, `rediss://` or `unix://` URL; it connects on first use.

    It does not retry by itself: what is asked for again, and what must come first, is the link's to decide.
    """
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
