"""One Redis, or the one that Sentinels name: for all partitions, which is one but for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from presence_server.address import Address
from presence_server.settings import Settings
from presence_server.store.backend import Ears
from presence_server.store.connect import open_client, open_pool
from presence_server.store.feed import Feed
from presence_server.store.keys import Keys, feed_suffix, keys_of_partitions
from presence_server.store.link import Executor, Link
from presence_server.store.scripts import Scripts
from presence_server.store.sentinel import watch


class Single:
    """One Redis.

    Args:
        settings: of the worker.
        address: of Redis.
        clock: a monotonic clock, seconds.
        redis_time: the Lua expression of Redis's clock.
        partitions: how many partitions teams lie in.
    """

    def __init__(
        self,
        settings: Settings,
        address: Address,
        clock: Callable[[], float],
        redis_time: str,
        partitions: int = 1,
    ) -> None:
        self.keys: Sequence[Keys] = keys_of_partitions(settings.key_prefix, address.database, partitions)
        self.scripts = Scripts(settings, feed_suffix(address.database), time=redis_time)
        self._address = address
        self._pool = open_pool(address)
        self._link = Link(self._pool, self.scripts, clock)
        self._clients: list[Redis] = []

    @property
    def calls(self) -> int:
        """How many commands were sent."""
        return self._link.calls

    @property
    def failures(self) -> int:
        """How many pipelines failed."""
        return self._link.failures

    def link(self, keys: Keys) -> Executor:
        """Runs commands."""
        return self._link

    def subscription(self, keys: Keys, name: str, ears: Ears) -> Feed:
        """Follows teams, over connections that no other partition has."""
        client = open_client(self._address)
        self._clients.append(client)
        return Feed(
            client,
            name,
            keys,
            on_update=ears.on_update,
            on_control=ears.on_control,
            on_down=ears.on_down,
        )

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """Look every now and then whether the master is where it was."""
        await watch([self._pool, *[client.connection_pool for client in self._clients]], on_moved)

    async def close(self) -> None:
        """Close all connections."""
        await self._link.close()
        for client in self._clients:
            await client.aclose()
