"""What goes over the wire: an ear on a channel, and a link by itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import orjson
import redis

from presence_server.settings import Settings
from presence_server.store.connect import open_pool
from presence_server.store.link import Link
from presence_server.store.scripts import Scripts
from tests.support.valkey import Valkey


class Ear:
    """Hears what is published on a channel."""

    def __init__(self, client: redis.Redis, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.subscribe(channel)
        assert self._pubsub.get_message(timeout=5.0)["type"] == "subscribe"

    def heard(self) -> list[dict[str, Any]]:
        """What was published since last asked."""
        self._client.publish(self._channel, "end")
        found = []
        while (message := self._pubsub.get_message(timeout=5.0))["data"] != "end":
            found.append(orjson.loads(message["data"]))
        return found

    def close(self) -> None:
        self._pubsub.close()


def link_to(url: str, clock: Callable[[], float] = time.monotonic) -> Link:
    """Commands to a Redis, and nothing else; close it."""
    return Link(open_pool(url), Scripts(Settings(redis_url=url), ":feed:0"), clock)


def blocked_clients(valkey: Valkey) -> int:
    """How many connections wait for a list that is empty."""
    with contextlib.closing(valkey.client()) as client:
        return int(client.info("clients")["blocked_clients"])
