"""How long the server's event loop keeps a small question waiting: WebSocket pings, answered as soon as they are read.

Sent by a thread of the measuring process, which otherwise only waits, so that neither the load generator's own work
nor its loop is in the figure.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

_PATIENCE_S: Final = 60.0


class Probe:
    """Pings of one socket, where they are wanted: each costs the server something, too."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @contextlib.contextmanager
    def pinging(self, interval_s: float) -> Iterator[list[float]]:
        """Ping so often in this block, 0 for never; gives the round trips, milliseconds."""
        round_trips_ms: list[float] = []
        over = threading.Event()

        def ping() -> None:
            while not over.wait(interval_s):
                started_s = time.perf_counter()
                with contextlib.suppress(ConnectionClosed):
                    self._socket.ping().wait(_PATIENCE_S)
                round_trips_ms.append((time.perf_counter() - started_s) * 1000)

        thread = threading.Thread(target=ping)
        if interval_s:
            thread.start()
        try:
            yield round_trips_ms
        finally:
            over.set()
            if interval_s:
                thread.join()


@contextlib.contextmanager
def probing(url: str, hello: str) -> Iterator[Probe]:
    """Connect a socket that does nothing else, and say hello."""
    with connect(url, compression=None, ping_interval=None, max_queue=None, open_timeout=_PATIENCE_S) as socket:
        socket.send(hello)
        yield Probe(socket)
