"""A cluster as what all partitions of a worker share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from redis.asyncio import ConnectionPool

from presence_server.address import Address, Node
from presence_server.settings import Settings
from presence_server.store.backend import Ears
from presence_server.store.cluster.feed import ClusterFeed, PartitionFeed
from presence_server.store.cluster.link import ClusterLink
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.connect import open_pool
from presence_server.store.keys import Keys, feed_suffix, keys_of_partitions
from presence_server.store.link import Executor
from presence_server.store.scripts import Scripts
from presence_server.store.slots import slot_of

# All workers must agree on it, and it is far more than a cluster has shards.
PARTITIONS: Final = 64
# A slot that nobody asks for moves unnoticed.
_WATCH_S: Final = 5.0


class Cluster:
    """A cluster.

    Args:
        settings: of the worker.
        address: of the cluster.
        clock: a monotonic clock, seconds.
        redis_time: the Lua expression of Redis's clock.
        partitions: how many partitions teams lie in; another number is for tests.
    """

    def __init__(
        self,
        settings: Settings,
        address: Address,
        clock: Callable[[], float],
        redis_time: str,
        partitions: int = PARTITIONS,
    ) -> None:
        self._address = address
        self.keys: Sequence[Keys] = keys_of_partitions(settings.key_prefix, address.database, partitions)
        self._clock = clock
        self.scripts = Scripts(settings, feed_suffix(address.database), time=redis_time, publish="SPUBLISH")
        self._nodes = Nodes(address.nodes, self._pool, self.scripts, clock)
        self._feed: ClusterFeed | None = None

    @property
    def calls(self) -> int:
        """How many commands were sent."""
        return self._nodes.calls

    @property
    def failures(self) -> int:
        """How many pipelines failed."""
        return self._nodes.failures

    def link(self, keys: Keys) -> Executor:
        """Runs the commands of a partition."""
        return ClusterLink(self._nodes, slot_of(keys.due), self._clock)

    def subscription(self, keys: Keys, name: str, ears: Ears) -> PartitionFeed:
        """Follows the teams of a partition."""
        if self._feed is None:
            self._feed = ClusterFeed(self._nodes, keys, name, self._clock)
        return self._feed.part(keys, ears)

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """Ask for the topology every now and then: what has moved is told where it is heard or asked for."""
        while True:
            await asyncio.sleep(_WATCH_S)
            await self._nodes.refresh()

    async def close(self) -> None:
        """Close all connections."""
        if self._feed is not None:
            await self._feed.close()
        await self._nodes.close()

    def _pool(self, node: Node) -> ConnectionPool:
        return open_pool(self._address.at(node))
