"""What the system says of a TCP connection: how much has arrived, and when it last heard of the peer."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import socket
import sys
import termios
from typing import Final

# Where Linux has `tcpi_last_ack_recv` and `tcpi_bytes_acked` in its `struct tcp_info` (linux/tcp.h).
_LAST_ACK_MS: Final = slice(56, 60)
_ACKNOWLEDGED_BYTES: Final = slice(120, 128)


def pending(transport: asyncio.Transport) -> int:
    """How many bytes the peer has not taken yet."""
    size = transport.get_write_buffer_size()
    line = transport.get_extra_info("socket")
    if line is not None:
        # What the system holds counts, too: it takes megabytes at once, and a slow peer minutes to read them.
        with contextlib.suppress(OSError):
            size += int.from_bytes(fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return size


def taken(transport: asyncio.Transport) -> int:
    """A number that rises when the peer takes something; where the system counts that, whatever is sent meanwhile."""
    acknowledged = _information(transport, _ACKNOWLEDGED_BYTES)
    return -pending(transport) if acknowledged is None else acknowledged


def silent_s(transport: asyncio.Transport) -> float:
    """For how long the peer's system has confirmed nothing; infinite where this one does not say."""
    silent_ms = _information(transport, _LAST_ACK_MS)
    return math.inf if silent_ms is None else silent_ms / 1000


def _information(transport: asyncio.Transport, field: slice) -> int | None:
    line = transport.get_extra_info("socket")
    if line is None or not hasattr(socket, "TCP_INFO"):
        return None
    with contextlib.suppress(OSError):
        found = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, field.stop)
        if len(found) == field.stop:
            return int.from_bytes(found[field], sys.byteorder)
    return None
