"""Which servers an address leads to, for `presence-server check`."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from presence_server.address import Address, Node
from presence_server.errors import Unavailable
from presence_server.store.connect import open_client, open_pool, open_sentinels
from presence_server.store.sentinel import FAULTS, MasterConnection, Sentinels, told


class Shard(NamedTuple):
    """Slots, and who serves them.

    Attributes:
        first, last: the range of slots; outside a cluster, all there are.
        master: by itself.
    """

    first: int
    last: int
    master: Address


class Word(NamedTuple):
    """What one Sentinel says.

    Attributes:
        sentinel: which.
        master: where it says that the master is; None if it does not answer, or does not know.
        fault: why it does not.
    """

    sentinel: Node
    master: Node | None
    fault: str


class Survey(NamedTuple):
    """The servers there are.

    Attributes:
        shards: in the order of their slots.
        sentinels: what each says; none without Sentinels.
        is_cluster: whether they are a cluster.
    """

    shards: tuple[Shard, ...]
    sentinels: tuple[Word, ...] = ()
    is_cluster: bool = False

    @property
    def masters(self) -> tuple[Address, ...]:
        """Each once."""
        return tuple(dict.fromkeys(shard.master for shard in self.shards))

    @property
    def uncovered(self) -> int:
        """How many slots nobody serves."""
        return REDIS_CLUSTER_HASH_SLOTS - sum(shard.last - shard.first + 1 for shard in self.shards)

    def owner_of(self, key: str) -> Address | None:
        """Who serves a key; None if nobody does."""
        slot = key_slot(key.encode())
        return next((shard.master for shard in self.shards if shard.first <= slot <= shard.last), None)


async def survey(address: Address) -> Survey:
    """Find out which servers an address leads to.

    Raises:
        Unavailable: nobody answers who knows.
    """
    if address.topology == "cluster":
        return Survey(await _shards(address), is_cluster=True)
    words: tuple[Word, ...] = ()
    if address.topology == "sentinel":
        sentinels = open_sentinels(address)
        words = tuple(await asyncio.gather(*[_word(sentinels, node) for node in address.nodes]))
        address = address.at(await _master(address))
    return Survey((Shard(0, REDIS_CLUSTER_HASH_SLOTS - 1, address),), words)


async def _word(sentinels: Sentinels, node: Node) -> Word:
    try:
        return Word(node, (await sentinels.ask(node)).master, "")
    except FAULTS as error:
        return Word(node, None, told(error))


async def _master(address: Address) -> Node:
    connection: MasterConnection = open_pool(address).make_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.connect()
    except FAULTS as error:
        raise Unavailable(str(error)) from error
    finally:
        await connection.disconnect(nowait=True)
    return connection.node


async def _shards(address: Address) -> tuple[Shard, ...]:
    faults = []
    for node in address.nodes:
        client = open_client(address.at(node))
        try:
            found = await client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        except FAULTS as error:
            faults.append(f"{node}: {error}")
            continue
        finally:
            await client.aclose()
        # A node that does not know its own name leaves it out: it is where it was asked.
        return tuple(
            Shard(first, last, address.at(Node(host.decode() if host else node.host, port)))
            for first, last, (host, port, *_), *_replicas in sorted(found)
        )
    raise Unavailable(f"Expected a node of the cluster to answer, got: {'; '.join(faults)}")
