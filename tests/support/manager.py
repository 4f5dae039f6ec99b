"""A service manager that keeps what it is told, on a real datagram socket."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.support.polling import becomes
from tests.support.timing import SOON_S


class Manager:
    """What systemd is to a service.

    Args:
        address: as `NOTIFY_SOCKET` has it: a path, or a name of the abstract namespace with `@` before it.

    Attributes:
        told: every line, in order.
    """

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + self.address[1:] if self.address.startswith("@") else self.address)

    def read(self) -> list[str]:
        """Take in what has come meanwhile; returns all."""
        while True:
            try:
                self.told += self._socket.recv(4_096).decode().split("\n")
            except BlockingIOError:
                return self.told

    def count(self, line: str) -> int:
        """How often it has been told a line by now."""
        return self.read().count(line)

    async def hears(self, line: str, times: int = 1) -> None:
        """Wait until it has been told a line so often."""

        async def count() -> int:
            return min(times, self.count(line))

        await becomes(count, times, within_s=4 * SOON_S)

    def close(self) -> None:
        self._socket.close()
