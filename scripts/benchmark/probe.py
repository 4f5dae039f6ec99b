"""How long the server's event loop keeps a small question waiting: WebSocket pings, answered as soon as they are read.

Sent by a thread of the measuring process, which otherwise only waits, so that neither the load generator's own work
nor its loop is in the figure.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_RESTING_S: Final = 0.05
_PATIENCE_S: Final = 60.0


class Probe:
    """One socket that does nothing but ping, where it is wanted: each ping costs the server something, too.

    Args:
        url: of the WebSocket endpoint.
        hello: the first text frame.

    Attributes:
        interval_s: how long to wait between pings; 0 to send none.
    """

    def __init__(self, url: str, hello: str) -> None:
        self._socket = connect(
            url, compression=None, ping_interval=None, max_queue=None, close_timeout=1, open_timeout=_PATIENCE_S
        )
        self._socket.send(hello)
        self.interval_s = 0.0
        self._round_trips_ms: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._socket.close()
        self._thread.join()

    def take(self) -> list[float]:
        """The round trips since the last call, milliseconds."""
        taken, self._round_trips_ms = self._round_trips_ms, []
        return taken

    def _run(self) -> None:
        while not self._stopping.wait(self.interval_s or _RESTING_S):
            if not self.interval_s:
                continue
            started_s = time.perf_counter()
            try:
                answered = self._socket.ping().wait(_PATIENCE_S)
            except ConnectionClosed:
                return
            if answered:
                self._round_trips_ms.append((time.perf_counter() - started_s) * 1000)
