"""One Valkey, which keeps its data on disk."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.valkey import Valkey


class Single:
    """See `Topology`."""

    def __init__(self) -> None:
        self._server = Valkey(tcp=True, persistent=True, fsync="everysec")
        # Kept open, for when there may be no further connection.
        self._client = self._server.client()

    def start(self) -> None:
        self._server.start()
        self._client.ping()

    def close(self) -> None:
        self._client.close()
        self._server.close()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def port(self) -> int:
        return self._server.tcp_port

    def masters(self) -> Sequence[Valkey]:
        return [self._server]

    def tell(self, *command: str) -> None:
        self._client.execute_command(*command)  # type: ignore[no-untyped-call]
