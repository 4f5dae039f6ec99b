"""Frames of any form, read by `websockets`: what `web.small_frames` leaves to it (RFC 6455, section 5)."""

from __future__ import annotations

import logging
from typing import Final

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from presence_server.core.decoding import printable
from presence_server.core.messages import MAX_MESSAGE_BYTES

_logger: Final = logging.getLogger(__name__)


class _Parser(Protocol):
    """The library's, but for one thing: a close frame may come between fragments (RFC 6455, section 5.4)."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


def make_parser() -> Protocol:
    """Make what reads a client's frames."""
    return _Parser(Side.SERVER, max_size=MAX_MESSAGE_BYTES, logger=_logger)


def let_go(parser: Protocol) -> None:
    """Part a parser from its generator and its errors, which hold each other; it is of no use afterwards."""
    parser.parser.close()
    vars(parser).clear()


def is_message(frame: Frame) -> bool:
    """Tell whether a frame is a whole message."""
    return frame.opcode is Opcode.TEXT and frame.fin


def close(code: int, reason: str) -> bytes:
    """A close frame of this side."""
    return Frame(Opcode.CLOSE, Close(code, clip(reason)).serialize()).serialize(mask=False)


def clip(reason: str) -> str:
    """Shorten a reason: a close frame's reason has room for 123 bytes (RFC 6455, section 5.5)."""
    return printable(reason).encode()[:123].decode(errors="ignore")
