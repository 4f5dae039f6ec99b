"""What is said of one server of a cluster that was taken for a Redis by itself."""

from __future__ import annotations

from presence_server.store.check.permissions import faults_of
from presence_server.store.connect import open_client
from tests.support.cluster import Cluster


async def test_it_is_said_which_address_is_wanted(shared_cluster: Cluster, key_prefix: str) -> None:
    here, there, _ = shared_cluster.nodes
    client = open_client(here.url)
    (elsewhere,) = shared_cluster.tags_on(there, 1)
    (fault,) = await faults_of(client, key_prefix, elsewhere, sharded=False)
    await client.aclose()
    assert fault == "scripts: this is one server of a cluster; Expected redis+cluster://, got redis://"
