"""How long the server's event loop keeps a small question waiting: WebSocket pings, answered as soon as they are read.

Runs in a thread of the measuring process, which otherwise only waits, so that neither the load generator's own work
nor its loop is in the figure.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Final, Self

_RESTING_S: Final = 0.05
# So often the server's own pings are read and answered while none are wanted.
_ALIVE_S: Final = 5.0
_PATIENCE_S: Final = 60.0
_PING: Final = b"\x89\x80\x00\x00\x00\x00"
_PONG: Final = 0xA


class Probe:
    """One socket that does nothing but ping, where it is wanted: each ping costs the server something, too.

    Args:
        port: the server's, on 127.0.0.1.
        path: of the WebSocket endpoint.
        hello: the first text frame.

    Attributes:
        interval_s: how long to wait between pings; 0 to send none.
    """

    def __init__(self, port: int, path: str, hello: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        while self._reader.readline() not in (b"\r\n", b""):
            pass
        self._socket.sendall(_masked_text(hello))
        self.interval_s = 0.0
        self._round_trips_ms: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def take(self) -> list[float]:
        """The round trips since the last call, milliseconds."""
        taken, self._round_trips_ms = self._round_trips_ms, []
        return taken

    def _run(self) -> None:
        last_s = 0.0
        while not self._stopping.wait(self.interval_s or _RESTING_S):
            started_s = time.perf_counter()
            wanted = self.interval_s > 0
            if not wanted and started_s - last_s < _ALIVE_S:
                continue
            try:
                self._socket.sendall(_PING)
                while self._read_frame() != _PONG:
                    pass
            except OSError:
                return
            last_s = time.perf_counter()
            if wanted:
                self._round_trips_ms.append((last_s - started_s) * 1000)

    def _read_frame(self) -> int:
        """Read one frame, which a server does not mask (RFC 6455, section 5.2); returns its opcode."""
        head = self._reader.read(2)
        if len(head) < 2:
            raise ConnectionError("Expected a frame, got the end of the connection")
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._reader.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._reader.read(8))
        payload = self._reader.read(length)
        opcode = head[0] & 0x0F
        if opcode == 0x9:
            self._socket.sendall(struct.pack("!BB4x", 0x8A, 0x80 | len(payload)) + payload)
        return opcode


def _masked_text(payload: bytes) -> bytes:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return struct.pack("!BBH4s", 0x81, 0x80 | 126, len(payload), mask) + masked
