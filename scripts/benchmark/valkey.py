"""A Valkey with the server's embedded one's settings, and what it has counted so far."""

from __future__ import annotations

from typing import Any, Final, Self

import redis

from tests.support.valkey import Valkey

_NAME: Final = "benchmark"
_OWN: Final = ("cmdstat_info", "cmdstat_client|list")
_SCRIPTS: Final = ("cmdstat_evalsha", "cmdstat_evalsha_ro", "cmdstat_fcall", "cmdstat_fcall_ro")


class CountingValkey(Valkey):
    """One that runs in a block.

    Attributes:
        looker: a blocking client whose doings are not counted.
    """

    def __init__(self) -> None:
        super().__init__(persistent=True, fsync="everysec")
        self.looker = redis.Redis(unix_socket_path=str(self.socket), client_name=_NAME, protocol=2)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.looker.close()
        self.close()

    def memory_bytes(self) -> int:
        """What its data and all around them take, but for buffers of clients and of the append-only file."""
        memory = self._info("memory")
        return int(memory["used_memory"] - memory["mem_clients_normal"] - memory["mem_aof_buffer"])

    def counts(self) -> tuple[float, float, float, float]:
        """What was done so far, besides looking: commands carried out, inside scripts too; bytes received and
        sent; scripts; microseconds inside those."""
        stats = self._info("commandstats")
        clients: Any = self.looker.client_list()
        others = [client for client in clients if client["name"] != _NAME]
        traffic = sum(int(client["tot-net-in"]) + int(client["tot-net-out"]) for client in others)
        scripts = [stats[name] for name in _SCRIPTS if name in stats]
        run = sum(entry["calls"] for name, entry in stats.items() if name not in _OWN)
        return run, traffic, sum(entry["calls"] for entry in scripts), sum(entry["usec"] for entry in scripts)

    def _info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self.looker.info(section)
        return found
