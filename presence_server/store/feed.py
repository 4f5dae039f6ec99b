"""The subscription: channels of teams and of the workers, over a connection of its own.

The reader only hands over. What was missed while the subscription was broken is not its business: it reports the break,
and whoever is told reads again what changed. A subscription can also die without an error, which is why it is probed:
a word is published and must come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from presence_server.store import tasks
from presence_server.store.connect import OUT_OF_REACH, TIMEOUT_S
from presence_server.store.keys import Keys
from presence_server.store.link import OutOfReach

_CHANNELS_AT_ONCE: Final = 500

logger: Final = logging.getLogger(__name__)


class Feed:
    """Delivers what is published.

    Args:
        client: makes the subscription's connection.
        name: this worker's id, by which it knows its own probes.
        keys: names of channels.
        on_update: is given a team and a message of its channel.
        on_control: is given a message of the workers' channel.
        on_down: is called when the subscription broke; `connect` makes a new one.
    """

    def __init__(
        self,
        client: Redis,
        name: str,
        keys: Keys,
        *,
        on_update: Callable[[str, bytes], None],
        on_control: Callable[[Any], None],
        on_down: Callable[[str], None],
    ) -> None:
        self._client = client
        self._name = name
        self._keys = keys
        self._on_update = on_update
        self._on_control = on_control
        self._on_down = on_down
        self._teams: set[str] = set()
        self._confirmed: dict[bytes, asyncio.Event] = {}
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._probes = 0
        self._control = keys.control.encode()

    async def connect(self) -> None:
        """Make a new subscription to all channels and wait until every one of them is confirmed.

        Raises:
            OutOfReach: Redis is.
        """
        await self.close()
        # After a failover probes must not be published at the former master. One under way keeps its connection:
        # redis-py has an AttributeError where that is closed under it.
        with contextlib.suppress(*OUT_OF_REACH):
            await self._client.connection_pool.disconnect(inuse_connections=False)
        # A reader that reconnects by itself would hide the break, and with it what was missed.
        self._pubsub = self._client.pubsub()
        events = [self._expect(self._keys.control)]
        try:
            await self._pubsub.subscribe(self._keys.control)
            self._reader = asyncio.create_task(self._read(self._pubsub), name="feed")
            # Read only now: until there was a reader, `subscribe` has left its team to this.
            channels = [*map(self._keys.feed, self._teams)]
            events += [self._expect(channel) for channel in channels]
            for at in range(0, len(channels), _CHANNELS_AT_ONCE):
                await self._pubsub.subscribe(*channels[at : at + _CHANNELS_AT_ONCE])
            await self._confirm(events)
        except OUT_OF_REACH as exc:
            await self.close()
            raise OutOfReach(str(exc) or type(exc).__name__) from exc

    async def subscribe(self, team: str) -> None:
        """Subscribe to a team and wait for the confirmation; what is published from then on arrives.

        Raises:
            OutOfReach: Redis is; the team stays wanted, and `connect` includes it.
        """
        self._teams.add(team)
        channel = self._keys.feed(team)
        event = self._expect(channel)
        try:
            if self._pubsub is None or self._reader is None:
                raise OutOfReach("the subscription is broken")
            await self._pubsub.subscribe(channel)
            await self._confirm([event])
        except OUT_OF_REACH as exc:
            self._broken("a channel could not be subscribed to")
            raise OutOfReach(str(exc) or type(exc).__name__) from exc

    async def unsubscribe(self, team: str) -> None:
        """Stop following a team; a broken subscription is no reason to fail."""
        self._teams.discard(team)
        channel = self._keys.feed(team)
        if self._pubsub is None or self._reader is None:
            self._confirmed.pop(channel.encode(), None)
            return
        try:
            await self._pubsub.unsubscribe(channel)
        except OUT_OF_REACH:
            self._broken("a channel could not be unsubscribed from")

    async def probe(self) -> None:
        """Publish a word and see that it comes back; a subscription that stays silent is reported as broken."""
        if self._reader is None:
            return
        reader = self._reader
        self._probes += 1
        wanted = self._probes
        event = asyncio.Event()
        self._confirmed[b"probe %d" % wanted] = event
        try:
            await self._client.publish(self._keys.control, orjson.dumps({"probe": [self._name, wanted]}))
            await asyncio.wait_for(event.wait(), TIMEOUT_S)
        except OUT_OF_REACH:
            if self._reader is reader:
                self._broken("a probe of the subscription did not come back")
        finally:
            self._confirmed.pop(b"probe %d" % wanted, None)

    async def close(self) -> None:
        """End the subscription."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await tasks.end([reader])
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(*OUT_OF_REACH):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _expect(self, channel: str) -> asyncio.Event:
        return self._confirmed.setdefault(channel.encode(), asyncio.Event())

    async def _confirm(self, events: Iterable[asyncio.Event]) -> None:
        for event in events:
            # Each of them, since very many take longer than one answer may.
            async with asyncio.timeout(TIMEOUT_S):
                await event.wait()

    def _broken(self, why: str) -> None:
        # redis-py may have reconnected behind the reader's back: what came meanwhile is lost, so say so, once.
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if reader is not asyncio.current_task():
            reader.cancel()
        self._on_down(why)

    async def _read(self, pubsub: PubSub) -> None:
        try:
            while True:
                kind, channel, data = await pubsub.parse_response()
                if kind == b"message":
                    if channel == self._control:
                        self._hear(orjson.loads(data))
                    else:
                        self._on_update(self._keys.team_of_feed(channel.decode()), data)
                elif kind == b"subscribe" and (event := self._confirmed.pop(channel, None)) is not None:
                    event.set()
        except Exception as exc:
            if not isinstance(exc, OUT_OF_REACH):
                logger.exception("What the subscription brought could not be handled")
            self._broken(str(exc) or type(exc).__name__)

    def _hear(self, message: Any) -> None:
        if "probe" in message:
            owner, number = message["probe"]
            if owner == self._name and (event := self._confirmed.get(b"probe %d" % number)) is not None:
                event.set()
        else:
            self._on_control(message)
