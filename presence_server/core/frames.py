"""WebSocket frames from the server (RFC 6455, section 5.2): unmasked, unfragmented, made once for many receivers."""

from __future__ import annotations

from typing import Final

PING: Final = b"\x89\x00"

_TEXT: Final = 0x81


def text(payload: bytes) -> bytes:
    """Frame a text message."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def payload(frame: bytes) -> bytes:
    """Take a frame made by `text` apart again, for servers that want to make their own."""
    size = frame[1]
    return frame[2 if size < 126 else 4 if size == 126 else 10 :]
