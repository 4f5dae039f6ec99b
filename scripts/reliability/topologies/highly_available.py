"""What a run needs of masters that others can replace."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from reliability.topologies.topology import Topology
from tests.support.valkey import Valkey


class HighlyAvailable(Topology):
    """Masters with replicas that take their place."""

    def master(self, draw: float) -> Valkey:
        """One of those that take writes now, by a number from 0 to 1."""
        masters = self.masters()
        return masters[int(draw * len(masters)) % len(masters)]

    @abstractmethod
    def succession(self, master: Valkey) -> Callable[[], bool]:
        """Look, while a master is well, who could take its place; what is returned tells whether somebody has."""

    @abstractmethod
    def fail_over(self, master: Valkey) -> None:
        """Have another one take the place of a master that is well."""

    @abstractmethod
    def follows(self, server: Valkey) -> bool:
        """Whether a server is a replica that has had all its master has."""
