"""One Redis for all: connections that are shared by however many partitions, which is one but for tests."""

from __future__ import annotations

from collections.abc import Callable

from presence_server.settings import Settings
from presence_server.store.backend import Ears
from presence_server.store.connect import database_of, open_client, open_pool
from presence_server.store.feed import Feed
from presence_server.store.keys import Keys, feed_suffix
from presence_server.store.link import Executor, Link
from presence_server.store.scripts import Scripts
from presence_server.store.slots import Partition, partitions


class Single:
    """One Redis.

    Args:
        settings: with `redis_url` set.
        clock: a monotonic clock, seconds.
        redis_time: the Lua expression of Redis's clock.
        partitions: how many partitions teams lie in.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float], redis_time: str, partitions: int = 1) -> None:
        url = settings.redis_url or ""
        self._database = database_of(url)
        self._prefix = settings.key_prefix
        self._count = partitions
        self.scripts = Scripts(settings, feed_suffix(self._database), time=redis_time)
        self._link = Link(open_pool(url), self.scripts, clock)
        self._client = open_client(url)

    @property
    def calls(self) -> int:
        """How many commands were sent."""
        return self._link.calls

    @property
    def failures(self) -> int:
        """How many pipelines failed."""
        return self._link.failures

    def partitions(self) -> list[Partition]:
        """The partitions that teams lie in here."""
        return partitions(self._count)

    def keys(self, partition: Partition) -> Keys:
        """The names of a partition's keys."""
        return Keys(self._prefix, self._database, partition)

    def link(self, keys: Keys) -> Executor:
        """Runs commands."""
        return self._link

    def subscription(self, keys: Keys, name: str, ears: Ears) -> Feed:
        """Follows teams."""
        return Feed(
            self._client,
            name,
            keys,
            on_update=ears.on_update,
            on_control=ears.on_control,
            on_down=ears.on_down,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._link.close()
        await self._client.aclose()
