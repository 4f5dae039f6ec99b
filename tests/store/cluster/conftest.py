"""Fixtures of what knows clusters: three masters, of which each has the third of all slots."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
from redis.asyncio import ConnectionPool

from presence_server.address import Node, parse
from presence_server.settings import Settings
from presence_server.store import link
from presence_server.store.cluster import channels, control, nodes, probes
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.connect import open_pool
from presence_server.store.scripts import Scripts
from tests.support.cluster import Cluster
from tests.support.valkey import Valkey


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """A cluster for all tests that leave it as it was."""
    with closing(Cluster(3, options=("--cluster-require-full-coverage", "no"))) as cluster:
        yield cluster


@pytest.fixture
async def cluster_nodes(shared_cluster: Cluster) -> AsyncIterator[Nodes]:
    """The nodes of the cluster, whose topology is known."""
    found = nodes_of(shared_cluster.url)
    await found.refresh()
    yield found
    await found.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer counts as out of reach sooner, but not because the machine is busy."""
    for module in (link, nodes, channels, control, probes):
        monkeypatch.setattr(module, "TIMEOUT_S", 1.0)


def nodes_of(url: str) -> Nodes:
    """The nodes that an address leads to; close them."""
    address = parse(url)

    def pool(node: Node) -> ConnectionPool:
        return open_pool(address.at(node))

    scripts = Scripts(Settings(redis_url=url), ":feed:0", publish="SPUBLISH")
    return Nodes(address.nodes, pool, scripts, time.monotonic)


def node_of(server: Valkey) -> Node:
    """Where a server listens."""
    return Node("127.0.0.1", server.tcp_port)
