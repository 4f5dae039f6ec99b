"""A Valkey with the server's embedded one's settings, and what it has counted so far."""

from __future__ import annotations

from typing import Any, Self

import redis

from tests.support.valkey import Valkey


class CountingValkey(Valkey):
    """One that runs in a block.

    Attributes:
        looker: a blocking client whose doings are not counted.
    """

    def __init__(self) -> None:
        super().__init__(persistent=True, fsync="everysec")
        self.looker = redis.Redis(unix_socket_path=str(self.socket), protocol=2)

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

    def counts(self) -> tuple[float, float, float]:
        """What was done so far, besides looking: commands carried out, inside scripts too; scripts; microseconds
        inside those."""
        stats = self._info("commandstats")
        scripts = stats.get("cmdstat_evalsha", {"calls": 0, "usec": 0})
        run = sum(entry["calls"] for name, entry in stats.items() if name != "cmdstat_info")
        return run, scripts["calls"], scripts["usec"]

    def _info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self.looker.info(section)
        return found
