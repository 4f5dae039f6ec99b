"""The workers' channel in a cluster: what is said at any node is heard at each, so one is enough to listen at.

A node that was taken out of the cluster, or that its bus does not reach, keeps the subscription and stays silent. So a
word is published at another node now and then, and must come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from presence_server.address import Node
from presence_server.store.cluster.channels import Channels
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.connect import TIMEOUT_S
from presence_server.store.link import OutOfReach

# Between attempts to hear it somewhere.
_AGAIN_S: Final = 0.5
# All partitions ask for a probe, one after another.
_FRESH_S: Final = 1.0


class Control:
    """Where a worker hears what is said to all.

    Args:
        nodes: of the cluster.
        channel: its name.
        name: the worker's, by which it knows its own probes.
        clock: a monotonic clock, seconds.
        connection: gives the subscriptions at a node.
        on_message: is given what is said.
    """

    def __init__(
        self,
        nodes: Nodes,
        channel: str,
        name: str,
        clock: Callable[[], float],
        *,
        connection: Callable[[Node], Awaitable[Channels]],
        on_message: Callable[[Any], None],
    ) -> None:
        self._nodes = nodes
        self._channel = channel
        self._name = name
        self._clock = clock
        self._connection = connection
        self._on_message = on_message
        self._at: Node | None = None
        self._one_by_one = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._probed_s = float("-inf")
        self._words = 0
        self._came = asyncio.Event()

    def is_it(self, channel: bytes) -> bool:
        """Whether a channel is this one."""
        return channel == self._channel.encode()

    async def hear(self, first: Node | None) -> None:
        """Hear it somewhere, if need be at a node that is named.

        Raises:
            OutOfReach: that node is, or does not allow it.
        """
        async with self._one_by_one:
            if self._at is not None or first is None:
                return
            channels = await self._connection(first)
            (failure,) = await channels.ask("SUBSCRIBE", [self._channel])
            if failure is not None:
                raise OutOfReach(f"the workers' channel: {failure}") from failure
            self._at = first

    def take(self, data: bytes) -> None:
        """Something was said."""
        message = orjson.loads(data)
        if "probe" not in message:
            self._on_message(message)
        elif message["probe"] == [self._name, self._words]:
            self._came.set()

    def lost(self, node: Node) -> None:
        """The subscriptions at a node are no more: it is looked for at another, if it was heard there.

        What was said there meanwhile is lost; sign-outs come by each team's own channel, too.
        """
        if self._at == node:
            self._at = None
            self._looking = asyncio.get_running_loop().create_task(self._hear_elsewhere(node))

    async def probe(self) -> None:
        """See that what is said at another node is heard; otherwise go elsewhere."""
        at = self._at
        others = [node for node in self._nodes.topology.owners() if node != at]
        if at is None or not others or self._clock() - self._probed_s < _FRESH_S:
            return
        self._probed_s = self._clock()
        self._words += 1
        self._came.clear()
        said = orjson.dumps({"probe": [self._name, self._words]})
        try:
            async with asyncio.timeout(TIMEOUT_S):
                (reply,) = await self._nodes.run(others[self._words % len(others)], [("PUBLISH", self._channel, said)])
                if isinstance(reply, Exception):
                    return
                await self._came.wait()
        except OutOfReach:
            # That other one is: it says nothing of this.
            return
        except TimeoutError:
            self._nodes.refresh_soon()
            self.lost(at)

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _hear_elsewhere(self, lost: Node) -> None:
        while True:
            # Where it was heard last comes last: it may be there, and silent.
            for node in sorted(self._nodes.topology.owners(), key=lambda node: node == lost):
                try:
                    await self.hear(node)
                    return
                except OutOfReach:
                    continue
            await asyncio.sleep(_AGAIN_S)
