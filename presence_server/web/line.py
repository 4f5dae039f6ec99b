"""The line between a supervisor and one of its processes: JSON objects, one a line, over a socket pair.

| from the supervisor | |
| --- | --- |
| `{"drain": 15.0, "alone": true}` | close all connections within so many seconds, and end; `alone`: nobody else stays |
| `{"report": true}` | say what the process has counted |
| `{"sum": 7, "families": […]}` | what all processes have counted, as asked for under that number |

| from a process | |
| --- | --- |
| `{"listening": true, "ready": true}` | whether it takes connections, and can serve them; at least once a second |
| `{"leaving": true}` | it takes no more connections, drains, and will end, whoever wanted it |
| `{"report": […]}` | its families of metrics, see `web.totals`; the last one when it ends |
| `{"sum": 7}` | asks for what all processes have counted |

When either end is gone, however that came about, the other reads the end of the line.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any, Final, Self

import orjson

# Families of metrics, with a label for each code there is, are some 20 KB.
_LONGEST_BYTES: Final = 1_000_000

Message = dict[str, Any]


class Line:
    """One end; `open` makes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Take over one end of a socket pair."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end, limit=_LONGEST_BYTES))

    def send(self, message: Message) -> None:
        """Send a message; to nobody, if the other end is gone."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message) + b"\n")

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what comes, until the other end is gone."""
        try:
            while text := await self._reader.readline():
                yield orjson.loads(text)
        except (ConnectionError, ValueError):
            # Half a line was the last that a process could say; or it has gone mad, and is as good as gone.
            return

    async def close(self) -> None:
        """Send what is still to be sent, and end the line."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
