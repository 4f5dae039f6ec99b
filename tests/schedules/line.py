"""Bare connections to Valkey, for what tests ask all the time: a client's would cost more than everything else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hiredis


class Line:
    """A connection."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader()

    def call(self, command: bytes) -> Any:
        """Send one command, and wait for its answer."""
        self._socket.sendall(command)
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 20))
        return reply

    def close(self) -> None:
        self._socket.close()


class Ear(Line):
    """Hears all that is published."""

    def __init__(self, path: Path, prefix: str) -> None:
        super().__init__(path)
        self.call(f"PSUBSCRIBE {prefix}:*\r\n".encode())
        self._socket.setblocking(False)

    def heard(self) -> Iterator[tuple[str, bytes]]:
        """The channels and messages that have come since last asked."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._reader.feed(self._socket.recv(1 << 20))
        while (message := self._reader.gets()) is not False:
            yield message[2].decode(), message[3]
