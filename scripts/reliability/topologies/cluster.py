"""Three masters that share the slots, each with a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from reliability.topologies.highly_available import HighlyAvailable
from tests.support.cluster import Cluster, index_of
from tests.support.valkey import Valkey

# One shard that is lost shall stop nobody else.
_OPTIONS: Final = ("--cluster-require-full-coverage", "no")


class Shards(HighlyAvailable):
    """See `Topology`.

    Attributes:
        cluster: the servers.
    """

    cluster: Cluster

    def start(self) -> None:
        self.cluster = Cluster(3, replicas=1, options=_OPTIONS)
        self._stack.callback(self.cluster.close)
        self.keep_open()

    @property
    def url(self) -> str:
        return self.cluster.url

    def masters(self) -> Sequence[Valkey]:
        # By connections that are open: to a server that is full there are no others.
        running = (server for server in self.servers() if server.alive)
        return [server for server in running if self._client(server).role()[0] == "master"]

    def servers(self) -> Sequence[Valkey]:
        return self.cluster.nodes

    def succession(self, master: Valkey) -> Callable[[], bool]:
        replica = self.cluster.replica_of(master)
        return lambda: bool(replica.says("ROLE")[0] == "master")

    def fail_over(self, master: Valkey) -> None:
        self.cluster.fail_over(master)

    def follows(self, server: Valkey) -> bool:
        role, *_, state, _ = server.says("ROLE")
        return bool(role == "slave" and state == "connected")

    def concerned(self, master: Valkey, teams: Iterable[str]) -> frozenset[str]:
        """The teams that lie on a master, or whose index does."""
        return frozenset(
            team for team in teams if master in (self.cluster.master_of(team), self.cluster.master_of(index_of(team)))
        )
