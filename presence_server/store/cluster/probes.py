"""Whether subscriptions at a node still live: a word is published there, and must come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from typing import Final

from presence_server.address import Node
from presence_server.store.cluster.channels import Channels
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.connect import TIMEOUT_S
from presence_server.store.keys import Keys
from presence_server.store.link import OutOfReach
from presence_server.store.slots import slot_of

# Partitions that share a node share its probes.
_FRESH_S: Final = 1.0


class Probes:
    """Probes of nodes.

    Args:
        nodes: of the cluster.
        keys: names of channels.
        name: the worker's.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, nodes: Nodes, keys: Keys, name: str, clock: Callable[[], float]) -> None:
        self._nodes = nodes
        self._keys = keys
        self._name = name
        self._clock = clock
        self._channels: dict[Node, str] = {}
        self._probed_s: dict[Node, float] = {}
        self._words = 0
        self._waiting: dict[bytes, asyncio.Event] = {}

    async def probe(self, node: Node, channels: Channels) -> None:
        """Probe a node, unless that was done just now; if the word does not come back, the connection is given up."""
        if self._clock() - self._probed_s.get(node, float("-inf")) < _FRESH_S:
            return
        self._probed_s[node] = self._clock()
        self._words += 1
        word = b"%d" % self._words
        came = self._waiting[word] = asyncio.Event()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                channel = await self._channel(node, channels)
                if channel is not None and await self._publish(node, channel, word):
                    await came.wait()
        except (TimeoutError, OutOfReach):
            channels.end("a probe of the subscription did not come back")
        finally:
            del self._waiting[word]

    async def _publish(self, node: Node, channel: str, word: bytes) -> bool:
        (reply,) = await self._nodes.run(node, [("SPUBLISH", channel, word)])
        if isinstance(reply, Exception):
            # The slot has moved: another channel next time.
            self.forget(node)
        return not isinstance(reply, Exception)

    def hear(self, channel: bytes, data: bytes) -> bool:
        """Take in a message; tells whether it was a probe's."""
        if channel.decode() not in self._channels.values():
            return False
        if (came := self._waiting.get(data)) is not None:
            came.set()
        return True

    def gone(self, channel: bytes) -> None:
        """A node has given a channel up."""
        for node in [node for node, each in self._channels.items() if each == channel.decode()]:
            self.forget(node)

    def forget(self, node: Node) -> None:
        """The subscription at a node is another one from now on."""
        self._channels.pop(node, None)

    async def _channel(self, node: Node, channels: Channels) -> str | None:
        """The channel by which a node is probed, subscribed to; None while there cannot be one."""
        if node not in self._channels:
            slots = set(self._nodes.topology.slots_of(node))
            if not slots:
                return None
            channel = self._keys.probe(_tag_in(slots), self._name)
            self._channels[node] = channel
            (failure,) = await channels.ask("SSUBSCRIBE", [channel])
            if failure is not None:
                self.forget(node)
        return self._channels.get(node)


def _tag_in(slots: Container[int]) -> str:
    """A hash tag that lies in one of these slots."""
    attempt = 0
    while slot_of(tag := f"probe.{attempt}") not in slots:
        attempt += 1
    return tag
