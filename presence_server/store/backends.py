"""From an address to what is there."""

from __future__ import annotations

from collections.abc import Callable

from presence_server.address import parse
from presence_server.settings import Settings
from presence_server.store.backend import Backend
from presence_server.store.cluster.cluster import PARTITIONS, Cluster
from presence_server.store.single import Single


def open_backend(
    settings: Settings, clock: Callable[[], float], redis_time: str, partitions: int | None = None
) -> Backend:
    """Make the connections to Redis, which connect on first use.

    Args:
        settings: with `redis_url` set.
        clock: a monotonic clock, seconds.
        redis_time: the Lua expression of Redis's clock.
        partitions: how many teams are divided into; by default one, or what all workers on a cluster agree on.

    Raises:
        ValueError: the address is none.
    """
    address = parse(settings.redis_url or "")
    if address.topology == "cluster":
        return Cluster(settings, address, clock, redis_time, partitions or PARTITIONS)
    return Single(settings, address, clock, redis_time, partitions or 1)
