"""What is known of a cluster's nodes, and how it comes to be known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from presence_server.address import Node
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.cluster.topology import Topology
from presence_server.store.slots import SLOTS
from tests.store.cluster.conftest import node_of, nodes_of
from tests.support.cluster import Cluster
from tests.support.ports import free_port
from tests.support.valkey import Valkey

NewValkey = Callable[..., Valkey]


def test_a_node_that_does_not_know_its_address_is_where_it_answered() -> None:
    seed = Node("redis.example", 7000)
    topology = Topology([seed])
    assert topology.candidates() == [seed]
    topology.take([[0, 99, [b"", 7000, b"id"], [b"10.0.0.2", 7001, b"id"]], [100, 200, [b"10.0.0.3", 7002]]], seed)
    assert topology.owner(0) == seed
    assert topology.owner(200) == Node("10.0.0.3", 7002)
    assert topology.owner(201) is None
    assert topology.owners() == {seed, Node("10.0.0.3", 7002)}
    assert list(topology.slots_of(seed)) == list(range(100))
    assert topology.candidates() == [seed, Node("10.0.0.2", 7001), Node("10.0.0.3", 7002)]


def test_a_change_is_a_new_version() -> None:
    seed = Node("a", 1)
    topology = Topology([seed])
    ranges = [[0, SLOTS - 1, [b"a", 1, b"id"]]]
    topology.take(ranges, seed)
    topology.take(ranges, seed)
    assert topology.version == 1
    topology.moved(7, seed)
    assert topology.version == 1
    topology.moved(7, Node("b", 1))
    assert topology.version == 2


async def test_the_first_that_knows_is_enough(shared_cluster: Cluster, new_valkey: NewValkey) -> None:
    """Of the addresses given, one is dead and one is no cluster."""
    plain = new_valkey()
    port = shared_cluster.nodes[0].tcp_port
    nodes = nodes_of(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{plain.tcp_port},127.0.0.1:{port}")
    await asyncio.gather(nodes.refresh(), nodes.refresh())
    assert nodes.topology.owners() == {node_of(node) for node in shared_cluster.nodes}
    await nodes.close()


async def test_where_nobody_answers_nothing_changes() -> None:
    nodes = nodes_of(f"redis+cluster://127.0.0.1:{free_port()}")
    await nodes.close()
    await nodes.refresh()
    assert nodes.topology.version == 0
    assert nodes.failures
    again = nodes.refresh_soon()
    await nodes.close()
    assert again.cancelled()


async def test_one_that_is_in_the_cluster_no_more_is_forgotten(cluster_nodes: Nodes, new_valkey: NewValkey) -> None:
    plain = new_valkey()
    calls = cluster_nodes.calls
    assert await cluster_nodes.run(node_of(plain), [("EXISTS", "test-no:key")]) == [0]
    await cluster_nodes.refresh()
    assert node_of(plain) not in cluster_nodes._links
    assert cluster_nodes.calls > calls
