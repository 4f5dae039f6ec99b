"""What a run needs of Redis, however it is set up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tests.support.valkey import Valkey


class Topology(Protocol):
    """One Redis, or several that belong together."""

    def start(self) -> None:
        """Start it and wait until it can be used."""

    def close(self) -> None:
        """End it, in whatever state it is."""

    @property
    def url(self) -> str:
        """What workers are given as PRESENCE_REDIS_URL."""

    @property
    def port(self) -> int:
        """The TCP port that a relay passes on to; raises where one port is not all there is."""

    def masters(self) -> Sequence[Valkey]:
        """Those that take writes now."""

    def tell(self, *command: str) -> None:
        """Have every master carry out a command."""
