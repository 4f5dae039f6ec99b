"""One Valkey, which keeps its data on disk."""

from __future__ import annotations

from collections.abc import Sequence

from reliability.topologies.topology import Topology
from tests.support.valkey import Valkey


class Single(Topology):
    """See `Topology`."""

    def __init__(self) -> None:
        super().__init__()
        self._server = Valkey(tcp=True, persistent=True, fsync="everysec")
        self._stack.callback(self._server.close)

    def start(self) -> None:
        self._server.start()
        self.keep_open()

    @property
    def url(self) -> str:
        return self._server.url

    def masters(self) -> Sequence[Valkey]:
        return [self._server]

    def servers(self) -> Sequence[Valkey]:
        return [self._server]
