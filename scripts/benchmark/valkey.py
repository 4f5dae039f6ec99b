"""The Valkey of a run: the embedded one, as the server would start it for itself, and what it has done so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from presence_server.store.embedded import EmbeddedValkey


@dataclass(frozen=True, slots=True)
class Traffic:
    """What Valkey has counted between two looks.

    Attributes:
        commands: carried out, those that scripts run inside included.
        scripts: scripts run.
        published: messages published.
        bytes: received and sent.
    """

    commands: int
    scripts: int
    published: int
    bytes: int

    def __sub__(self, earlier: Traffic) -> Traffic:
        return Traffic(
            self.commands - earlier.commands,
            self.scripts - earlier.scripts,
            self.published - earlier.published,
            self.bytes - earlier.bytes,
        )


class Valkey:
    """A Valkey with its data in a folder of this run.

    Attributes:
        url: where it listens.
        pid: its process.
        client: a blocking client.
    """

    def __init__(self, folder: Path) -> None:
        self._embedded = EmbeddedValkey(folder)
        self.url = ""
        self.pid = 0
        self.client: redis.Redis

    def __enter__(self) -> Self:
        self.url = self._embedded.start()
        self.client = redis.Redis.from_url(self.url)
        self.pid = int(self._info("server")["process_id"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._embedded.stop()

    def empty(self) -> None:
        """Forget everything; no server may be running."""
        self.client.flushall()

    def traffic(self) -> Traffic:
        """What was done so far, this look excluded as far as it can be."""
        stats = self._info("stats")
        by_command = {name: int(entry["calls"]) for name, entry in self._info("commandstats").items()}
        own = sum(calls for name, calls in by_command.items() if name.startswith("cmdstat_info"))
        return Traffic(
            sum(by_command.values()) - own,
            by_command.get("cmdstat_evalsha", 0),
            by_command.get("cmdstat_publish", 0),
            int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"]),
        )

    def own_bytes(self) -> int:
        """How many bytes one look takes by itself."""
        first = self.traffic()
        return self.traffic().bytes - first.bytes

    def _info(self, section: str) -> dict[str, Any]:
        return self.client.info(section)
