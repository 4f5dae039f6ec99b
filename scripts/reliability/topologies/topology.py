"""What a run needs of Redis, however it is set up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import redis

from tests.support.valkey import Valkey


class Topology(ABC):
    """One Redis, or several that belong together."""

    def __init__(self) -> None:
        self._clients: dict[int, redis.Redis] = {}
        self._stack = ExitStack()

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it can be used."""

    def close(self) -> None:
        """End it, in whatever state it is."""
        self._stack.close()

    @property
    @abstractmethod
    def url(self) -> str:
        """What workers are given as PRESENCE_REDIS_URL."""

    @abstractmethod
    def masters(self) -> Sequence[Valkey]:
        """Those that take writes now."""

    @abstractmethod
    def servers(self) -> Sequence[Valkey]:
        """All that there are, running or not."""

    def concerned(self, master: Valkey, teams: Iterable[str]) -> frozenset[str] | None:
        """Those of some teams that need a master; None: all that there are."""
        return None

    def tell(self, *command: str, replicas: bool = False) -> list[Any]:
        """Have every master carry out a command, and every replica if wanted; returns what they answer."""
        servers = self.servers() if replicas else self.masters()
        return [self._client(server).execute_command(*command) for server in servers]  # type: ignore[no-untyped-call]

    def keep_open(self) -> None:
        """Connect to every server: later there may be no further connection."""
        for server in self.servers():
            self._client(server).ping()

    def _client(self, server: Valkey) -> redis.Redis:
        if server.tcp_port not in self._clients:
            client = self._clients[server.tcp_port] = server.client()
            self._stack.callback(client.close)
        return self._clients[server.tcp_port]
