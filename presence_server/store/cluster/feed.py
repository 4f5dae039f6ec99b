"""Subscriptions in a cluster: a team's channel is heard at the node that has its slot, over one connection by node.

A node that breaks takes along the partitions whose index it has, and of others the teams alone that it has. What is
said to all workers can be heard at any node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from redis import exceptions

from presence_server.address import Node
from presence_server.store.backend import Ears
from presence_server.store.cluster.channels import Channels
from presence_server.store.cluster.control import Control
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.cluster.probes import Probes
from presence_server.store.keys import Keys
from presence_server.store.link import OutOfReach, Unreached
from presence_server.store.slots import slot_of

# How often a channel is looked for at another node before its slot counts as moving.
_REDIRECTIONS: Final = 4


class _GivenUp(Exception):
    """A node has confirmed a subscription, and ended it before anybody could take note: its slot moves."""


class ClusterFeed:
    """All subscriptions of a worker.

    Args:
        nodes: of the cluster.
        keys: of any partition, for the names of what is not one team's.
        name: the worker's, by which it knows its own probes.
        clock: a monotonic clock, seconds.

    Attributes:
        control: where what is said to all workers is heard.
    """

    def __init__(self, nodes: Nodes, keys: Keys, name: str, clock: Callable[[], float]) -> None:
        self._nodes = nodes
        self._probes = Probes(nodes, keys, name, clock)
        self._open: dict[Node, Channels] = {}
        self._opening: dict[Node, asyncio.Lock] = {}
        self._at: dict[bytes, Node] = {}
        self._listeners: dict[bytes, Callable[[bytes, bytes], None]] = {}
        self._parts: list[PartitionFeed] = []
        self.control = Control(
            nodes,
            keys.control,
            name,
            clock,
            connection=self._connection,
            on_message=lambda message: self._parts[0].ears.on_control(message),
        )

    def part(self, keys: Keys, ears: Ears) -> PartitionFeed:
        """The subscriptions of one partition."""
        part = PartitionFeed(self, keys, ears)
        self._parts.append(part)
        return part

    def owner(self, slot: int) -> Node | None:
        """The node that has a slot."""
        return self._nodes.topology.owner(slot)

    def at(self, channel: str) -> Node | None:
        """Where a channel is heard; None where it is not."""
        return self._at.get(channel.encode())

    async def follow(self, channels: Sequence[str], on_message: Callable[[bytes, bytes], None]) -> dict[str, Exception]:
        """Hear channels, each where it is; returns those that cannot be heard, and why."""
        failures: dict[str, Exception] = {channel: OutOfReach("nobody has its slot") for channel in channels}
        for _ in range(_REDIRECTIONS):
            by_node: dict[Node, list[str]] = {}
            for channel in failures:
                if (node := self.owner(slot_of(channel))) is not None:
                    by_node.setdefault(node, []).append(channel)
            found = await asyncio.gather(*[self._follow_at(node, some, on_message) for node, some in by_node.items()])
            for node, results in zip(by_node, found, strict=True):
                for channel, failure in results.items():
                    if failure is None and self.at(channel) == node:
                        del failures[channel]
                    else:
                        failures[channel] = failure or _GivenUp("its slot is being moved")
            if not any(isinstance(failure, exceptions.MovedError | _GivenUp) for failure in failures.values()):
                break
        if failures:
            self._nodes.refresh_soon()
        return failures

    async def forget(self, channel: str) -> None:
        """Hear a channel no more where it is heard; a broken subscription is no reason to fail."""
        node = self._at.pop(channel.encode(), None)
        if node is not None and (channels := self._open.get(node)) is not None:
            with contextlib.suppress(OutOfReach):
                await channels.ask("SUNSUBSCRIBE", [channel])

    def ignore(self, channel: str) -> None:
        """Whatever still comes by a channel is nobody's."""
        self._listeners.pop(channel.encode(), None)

    async def probe(self, nodes: Iterable[Node]) -> None:
        """See that what is published at nodes comes back; one that stays silent is given up."""
        await asyncio.gather(self.control.probe(), *[self._probe(node) for node in set(nodes)])

    async def close(self) -> None:
        """End all subscriptions."""
        await self.control.close()
        for channels in self._open.values():
            await channels.close()
        self._open.clear()

    async def _probe(self, node: Node) -> None:
        # Any of them may break while others are waited for.
        if (channels := self._open.get(node)) is not None:
            await self._probes.probe(node, channels)

    # --- by node ----------------------------------------------------------------------------------------------------

    async def _follow_at(
        self, node: Node, some: Sequence[str], on_message: Callable[[bytes, bytes], None]
    ) -> dict[str, Exception | None]:
        self._listeners.update((channel.encode(), on_message) for channel in some)
        try:
            channels = await self._connection(node)
            results = await channels.ask("SSUBSCRIBE", some)
        except OutOfReach as exc:
            return dict.fromkeys(some, exc)
        for channel, failure in zip(some, results, strict=True):
            if failure is None and channel.encode() in channels.heard:
                self._at[channel.encode()] = node
            elif isinstance(failure, exceptions.MovedError):
                self._nodes.topology.moved(failure.slot_id, Node(failure.host or node.host, failure.port))
        return dict(zip(some, results, strict=True))

    async def _connection(self, node: Node) -> Channels:
        async with self._opening.setdefault(node, asyncio.Lock()):
            channels = self._open.get(node)
            if channels is None:
                connection: Any = self._nodes.pool(node).make_connection()  # type: ignore[no-untyped-call]
                channels = Channels(
                    connection,
                    on_message=self._hear,
                    on_gone=partial(self._gone, node),
                    on_broken=partial(self._broken, node),
                )
                await channels.open()
                self._open[node] = channels
            return channels

    # --- what is heard ----------------------------------------------------------------------------------------------

    def _hear(self, channel: bytes, data: bytes) -> None:
        if self.control.is_it(channel):
            self.control.take(data)
        elif not self._probes.hear(channel, data) and (listener := self._listeners.get(channel)) is not None:
            listener(channel, data)

    def _gone(self, node: Node, channel: bytes) -> None:
        """A slot has moved away from where its channel was heard."""
        self._nodes.refresh_soon()
        self._probes.gone(channel)
        # By now it may be heard where it went.
        if self._at.get(channel) == node:
            del self._at[channel]
            for part in self._parts:
                part.gone({channel})

    def _broken(self, node: Node, why: str) -> None:
        self._open.pop(node, None)
        self._probes.forget(node)
        gone = {channel for channel, at in self._at.items() if at == node}
        for channel in gone:
            del self._at[channel]
        self._nodes.refresh_soon()
        self.control.lost(node)
        for part in self._parts:
            if part.is_at(node):
                part.down(why, gone)
            else:
                part.gone(gone)


class PartitionFeed:
    """The subscriptions of one partition's teams.

    Args:
        feed: of all partitions.
        keys: names of keys.
        ears: who hears.
    """

    def __init__(self, feed: ClusterFeed, keys: Keys, ears: Ears) -> None:
        self.ears = ears
        self._feed = feed
        self._keys = keys
        self._home = slot_of(keys.due)
        self._teams: set[str] = set()

    async def connect(self) -> None:
        """Subscribe to all channels and wait for the confirmations; teams in trouble of their own come later.

        Raises:
            OutOfReach: the node that has the index is.
        """
        home = self._feed.owner(self._home)
        await self._feed.control.hear(home)
        failures = await self._feed.follow([self._keys.feed(team) for team in self._teams], self._hear)
        for channel, failure in failures.items():
            if self._feed.owner(slot_of(channel)) == home:
                raise OutOfReach(str(failure)) from failure
            self.ears.on_lost(self._keys.team_of_feed(channel))

    async def subscribe(self, team: str) -> None:
        """Subscribe to a team and wait for the confirmation; what is published from then on arrives.

        Raises:
            OutOfReach: the node that has the index is; the team stays wanted, and `connect` includes it.
            Unreached: another node is, which has this team.
        """
        self._teams.add(team)
        channel = self._keys.feed(team)
        failures = await self._feed.follow([channel], self._hear)
        if team not in self._teams:
            # It was left meanwhile.
            await self._forget(channel)
        elif failures:
            failure = failures[channel]
            at_home = self._feed.owner(slot_of(channel)) == self._feed.owner(self._home)
            if at_home and isinstance(failure, OutOfReach):
                raise failure
            raise Unreached(str(failure)) from failure

    async def unsubscribe(self, team: str) -> None:
        """Stop following a team; a broken subscription is no reason to fail."""
        self._teams.discard(team)
        await self._forget(self._keys.feed(team))

    async def probe(self) -> None:
        """Publish a word at each node where teams are followed, and see that it comes back."""
        teams = {self._keys.feed(team): team for team in self._teams}
        places = {channel: self._feed.at(channel) for channel in teams}
        for channel, node in places.items():
            owner = self._feed.owner(slot_of(channel))
            # While others are seen to, it may be followed anew already.
            if node is not None and owner not in (None, node) and self._feed.at(channel) == node:
                # A master that has become a replica goes on telling, for as long as it does.
                await self._feed.forget(channel)
                self.ears.on_lost(teams[channel])
        await self._feed.probe(node for node in places.values() if node is not None)

    async def close(self) -> None:
        """The connections are closed by whoever has them."""

    async def _forget(self, channel: str) -> None:
        self._feed.ignore(channel)
        await self._feed.forget(channel)

    # --- what is heard ----------------------------------------------------------------------------------------------

    def is_at(self, node: Node) -> bool:
        """Whether the partition's index is there."""
        return self._feed.owner(self._home) == node

    def down(self, why: str, channels: set[bytes]) -> None:
        """The connection to the index's node broke, and with it these channels are not heard any more."""
        if self._mine(channels):
            self.ears.on_down(why)

    def gone(self, channels: set[bytes]) -> None:
        """These channels are not heard any more."""
        for team in self._mine(channels):
            self.ears.on_lost(team)

    def _mine(self, channels: set[bytes]) -> list[str]:
        return [team for team in self._teams if self._keys.feed(team).encode() in channels]

    def _hear(self, channel: bytes, data: bytes) -> None:
        self.ears.on_update(self._keys.team_of_feed(channel.decode()), data)
