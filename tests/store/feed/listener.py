"""A feed with what it delivers, and somebody who says something on its channels."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis
from redis.asyncio import Redis

from presence_server.store.feed import Feed
from presence_server.store.keys import Keys
from tests.support.polling import becomes
from tests.support.timing import SOON_S


@dataclass
class Listener:
    """A feed, with what it delivers."""

    client: Redis
    keys: Keys
    name: str = "w1"
    updates: asyncio.Queue[tuple[str, bytes]] = field(default_factory=asyncio.Queue)
    controls: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    downs: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.feed = Feed(
            self.client,
            self.name,
            self.keys,
            on_update=lambda team, message: self.updates.put_nowait((team, message)),
            on_control=self.controls.put_nowait,
            on_down=self.downs.put_nowait,
        )

    async def update(self) -> tuple[str, bytes]:
        """The next message of a team."""
        async with asyncio.timeout(SOON_S):
            return await self.updates.get()

    async def control(self) -> Any:
        """The next message to the workers."""
        async with asyncio.timeout(SOON_S):
            return await self.controls.get()

    async def down(self) -> str:
        """Why it went down: once, and not once more."""
        async with asyncio.timeout(SOON_S):
            why = await self.downs.get()
        assert self.downs.empty()
        return why


@dataclass
class Publisher:
    """Says something on channels."""

    client: redis.Redis
    keys: Keys

    def say(self, team: str, message: str) -> int:
        """Publish to a team; tells how many heard it."""
        return int(self.client.publish(self.keys.feed(team), message))

    def tell(self, message: Any) -> int:
        """Publish to the workers; tells how many heard it."""
        return int(self.client.publish(self.keys.control, orjson.dumps(message)))

    async def hears(self, team: str, number: int) -> None:
        """Wait until so many follow a team."""

        async def followers() -> object:
            return dict(self.client.pubsub_numsub(self.keys.feed(team)))[self.keys.feed(team)]

        await becomes(followers, number)

    def cut_off(self) -> None:
        """End every subscription."""
        self.client.client_kill_filter(_type="pubsub")
