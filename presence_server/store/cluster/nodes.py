"""The nodes of a cluster: where commands go, and what is learned of it on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from redis.asyncio import ConnectionPool

from presence_server.address import Node
from presence_server.store.cluster.node_link import NodeLink
from presence_server.store.cluster.topology import Topology
from presence_server.store.connect import TIMEOUT_S
from presence_server.store.link import Command, Link, OutOfReach
from presence_server.store.scripts import Scripts

# However many errors there are, the topology is asked for no more often than this.
_REFRESH_S: Final = 0.25
# After the first answer, how long others have to say that they know better.
_OTHERS_S: Final = 0.05


class _Answer(NamedTuple):
    epoch: int
    ranges: Sequence[Any]
    told_by: Node


class Nodes:
    """All nodes, each with connections of its own.

    Args:
        seeds: nodes to ask first.
        open_pool: makes the connections to a node.
        scripts: those that commands may name.
        clock: a monotonic clock, seconds.

    Attributes:
        topology: which node has which slot.
        scripts: those that commands may name.
    """

    def __init__(
        self,
        seeds: Sequence[Node],
        open_pool: Callable[[Node], ConnectionPool],
        scripts: Scripts,
        clock: Callable[[], float],
    ) -> None:
        self.topology = Topology(seeds)
        self._open_pool = open_pool
        self.scripts = scripts
        self._clock = clock
        self._links: dict[Node, NodeLink] = {}
        self._retired_calls = self._retired_failures = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_s = float("-inf")

    @property
    def calls(self) -> int:
        """How many commands were sent."""
        return self._retired_calls + sum(each.link.calls for each in self._links.values())

    @property
    def failures(self) -> int:
        """How many pipelines failed."""
        return self._retired_failures + sum(each.link.failures for each in self._links.values())

    async def run(self, node: Node, commands: Sequence[Command]) -> list[Any]:
        """Run commands on a node; gives their replies, errors in their places.

        Raises:
            OutOfReach: the node is.
        """
        return await self._link(node).run(commands)

    def pool(self, node: Node) -> ConnectionPool:
        """What makes connections to a node."""
        return self._open_pool(node)

    async def refresh(self) -> None:
        """Ask for the topology, and wait for what was found."""
        await asyncio.shield(self.refresh_soon())

    def refresh_soon(self) -> asyncio.Task[None]:
        """Ask for the topology; once for all who want it at about the same time."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
        return self._refreshing

    async def close(self) -> None:
        """Close all connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        for link in self._links.values():
            await link.close()

    def _link(self, node: Node) -> NodeLink:
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = NodeLink(Link(self._open_pool(node), self.scripts, self._clock))
        return link

    async def _refresh(self) -> None:
        wait_s = self._refreshed_s + _REFRESH_S - self._clock()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        candidates = self.topology.candidates()
        # Side by side, since one that stands still answers only after a long time.
        asked = [asyncio.ensure_future(self._ask(node)) for node in candidates]
        try:
            answers = await _first_answers(asked)
        finally:
            for each in asked:
                each.cancel()
            self._refreshed_s = self._clock()
        if answers:
            # One that was cut off from the others remembers how it was.
            newest = max(answers, key=lambda answer: answer.epoch)
            self.topology.take(newest.ranges, newest.told_by)
            await self._retire()

    async def _ask(self, node: Node) -> _Answer | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                ranges, info = await self.run(node, [("CLUSTER", "SLOTS"), ("CLUSTER", "INFO")])
        except (OutOfReach, TimeoutError):
            return None
        if not (isinstance(ranges, list) and ranges and isinstance(info, bytes)):
            return None
        return _Answer(int(info.partition(b"cluster_current_epoch:")[2].partition(b"\r")[0] or 0), ranges, node)

    async def _retire(self) -> None:
        """Close the connections to nodes that are in the cluster no more."""
        kept = set(self.topology.candidates()) | self.topology.owners()
        for node in [node for node in self._links if node not in kept]:
            link = self._links.pop(node)
            self._retired_calls += link.link.calls
            self._retired_failures += link.link.failures
            await link.close()


async def _first_answers(asked: Sequence[asyncio.Future[_Answer | None]]) -> list[_Answer]:
    """The first answer, and those that come soon after it."""
    pending, answers = set(asked), list[_Answer]()
    while pending:
        done, pending = await asyncio.wait(
            pending,
            timeout=_OTHERS_S if answers else None,
            return_when=asyncio.ALL_COMPLETED if answers else asyncio.FIRST_COMPLETED,
        )
        had_any = bool(answers)
        answers += [answer for each in done if (answer := each.result()) is not None]
        if had_any:
            break
    return answers
