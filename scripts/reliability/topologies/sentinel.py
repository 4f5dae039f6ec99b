"""A master with two replicas, watched by three Sentinels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reliability.topologies.highly_available import HighlyAvailable
from tests.support.sentinels import SERVICE, Replicated
from tests.support.valkey import Valkey


class Sentinels(HighlyAvailable):
    """See `Topology`.

    Attributes:
        replicated: the servers and the Sentinels.
    """

    def __init__(self) -> None:
        super().__init__()
        # A master that nobody follows any more must take no writes: they would be lost.
        self.replicated = Replicated(settings=("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"))
        self._stack.callback(self.replicated.close)

    def start(self) -> None:
        self.replicated.start()
        self.keep_open()

    @property
    def url(self) -> str:
        return self.replicated.url

    def masters(self) -> Sequence[Valkey]:
        return [self.replicated.master()]

    def servers(self) -> Sequence[Valkey]:
        return self.replicated.valkeys

    def succession(self, master: Valkey) -> Callable[[], bool]:
        def has_other() -> bool:
            found = self.replicated.master()
            return found is not master and found.says("ROLE")[0] == "master"

        return has_other

    def fail_over(self, master: Valkey) -> None:
        self.replicated.sentinels[0].says("SENTINEL", "FAILOVER", SERVICE)

    def follows(self, server: Valkey) -> bool:
        return self.replicated.is_replica(server)
