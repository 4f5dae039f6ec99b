"""A master with two replicas, watched by three Sentinels."""

from __future__ import annotations

from collections.abc import Sequence

from reliability.topologies.topology import Topology
from tests.support.sentinels import Replicated
from tests.support.valkey import Valkey


class Sentinels(Topology):
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
