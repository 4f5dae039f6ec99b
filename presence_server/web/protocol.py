"""The WebSocket protocol under uvicorn, which lets a socket be taken over from its ASGI coroutine.

An ASGI coroutine that only waits for messages costs more memory than everything else about a connection, and every
frame sent through it is encoded anew. Here the endpoint hands its socket over by the extension `presence.hand_over` and
returns: from then on text frames are plain calls, what is sent are ready-made frames written to the transport, and the
task, the scope, the request and uvicorn's protocol are gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol, Side, State

from presence_server.core.frames import PING
from presence_server.core.messages import MAX_MESSAGE_BYTES
from presence_server.live.connections import Connections
from presence_server.web import small_frames

EXTENSION: Final = "presence.hand_over"

# How long a peer may take to answer a close frame, or to stop sending what is not read any more.
_CLOSE_TIMEOUT_S: Final = 2.0

_NO_TIMER: Final = object()

_logger: Final = logging.getLogger(__name__)


class PresenceProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol up to the end of the handshake, with the extension to hand the socket over."""

    _reads = 0

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self._hand_over

    def data_received(self, data: bytes) -> None:
        self._reads += 1
        super().data_received(data)

    def _hand_over(self, presence: Connections) -> None:
        """Serve this socket from `presence` instead of the ASGI coroutine, which may return."""
        # What came before the handshake's answer, against the RFC, is already in the parser.
        parser = self.conn if self._reads > 1 else None
        socket = HandedOverSocket(self.transport, self.connections, presence, parser)
        self.transport.set_protocol(socket)
        self.connections.discard(self)
        self.connections.add(cast("Any", socket))
        # uvicorn closes the transport when the coroutine returns, unless a timer is about to do so already.
        self.close_timer = cast("asyncio.TimerHandle", _NO_TIMER)
        # Without this cycle, all of it is freed as soon as the coroutine has returned.
        del cast("dict[str, Any]", self.scope["extensions"])[EXTENSION]
        queue = self.queue
        while not queue.empty():
            event = queue.get_nowait()
            if event["type"] == "websocket.receive":
                socket.deliver(event.get("text"))
        if self.read_paused:
            self.transport.resume_reading()


class HandedOverSocket(asyncio.Protocol):
    """A connection's socket (live.connection.Socket), and the protocol of its transport.

    Frames of the usual form are read here; at the first other one, `websockets`' parser is made and takes over.

    Args:
        transport: of the socket.
        server: uvicorn's set of connections, each with a `shutdown`.
        presence: the worker's connections.
        parser: the parser so far, if it may have begun to read a frame.
    """

    __slots__ = ("_closing", "_connection", "_message", "_parser", "_presence", "_server", "_transport", "write")

    def __init__(
        self, transport: asyncio.Transport, server: set[Any], presence: Connections, parser: Protocol | None
    ) -> None:
        self._transport = transport
        self._server = server
        self._presence = presence
        self._parser = parser
        self._message: list[bytes] | None = None
        self._closing: asyncio.TimerHandle | None = None
        self.write = transport.write
        self._connection = presence.accept(self)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        connection.heard_s = time.monotonic()
        at = 0
        while self._parser is None:
            frame = small_frames.take(data, at)
            if frame is None:
                self._parser = Protocol(Side.SERVER, max_size=MAX_MESSAGE_BYTES, logger=_logger)
                break
            if frame.text is not None:
                self._presence.received(connection, frame.text)
            at = frame.end
            if at == len(data):
                return
        self._parse(self._parser, data[at:])

    def deliver(self, text: str | None) -> None:
        """Take in a message that had been read before the socket was handed over."""
        if text is not None:
            self._presence.received(self._connection, text.encode())
        else:
            self._presence.garbled(self._connection, "Expected a text frame, got a binary one")

    def _parse(self, parser: Protocol, data: bytes) -> None:
        parser.receive_data(data)
        for event in parser.events_received():
            if isinstance(event, Frame):
                self._take(event)
        if parser.parser_exc is not None and parser.close_sent is not None:
            self._fail(parser, parser.close_sent.code)
        else:
            self._answer(parser)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            received = cast(Protocol, self._parser).close_rcvd
            self._presence.lost(self._connection, received.code if received is not None else 1005)
        elif frame.opcode is Opcode.BINARY:
            self._presence.garbled(self._connection, "Expected a text frame, got a binary one")
        elif frame.opcode is Opcode.TEXT and frame.fin:
            self._presence.received(self._connection, bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            self._message = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message.append(bytes(frame.data))
            if frame.fin:
                message, self._message = b"".join(self._message), None
                self._presence.received(self._connection, message)

    def _answer(self, parser: Protocol) -> None:
        """Send what the library has to say: pongs, the answer to a close frame."""
        for data in parser.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if parser.close_rcvd is not None and not self._transport.is_closing():
            # The server is the first to end the TCP connection (RFC 6455, section 7.1.1).
            self._transport.close()

    def _fail(self, parser: Protocol, code: int) -> None:
        if code in (1007, 1009):
            # What the library would answer, put in the contract's words.
            parser.data_to_send()
            self._presence.garbled(self._connection, "Expected a text frame of at most 64 KiB, got something else")
            return
        self._presence.lost(self._connection, code)
        self._answer(parser)
        self._end_soon()

    def eof_received(self) -> None:
        """The peer will send no more; there is nothing a presence connection could still be good for."""
        return

    def connection_lost(self, exc: Exception | None) -> None:
        self._presence.lost(self._connection, 1006)
        self._server.discard(self)
        if self._closing is not None:
            self._closing.cancel()

    def pause_writing(self) -> None:
        self._presence.paused(self._connection)

    def resume_writing(self) -> None:
        self._presence.resumed(self._connection)

    def shutdown(self) -> None:
        """uvicorn ends: whoever is left after the drain is told so."""
        self.close(1012)
        self._transport.close()

    # --- the socket of a connection (live.connection.Socket) --------------------------------------------------------

    def ping(self) -> None:
        self._transport.write(PING)

    def close(self, code: int, reason: str = "") -> None:
        if self._transport.is_closing() or self._closing is not None:
            return
        if self._parser is None:
            self._parser = Protocol(Side.SERVER, max_size=MAX_MESSAGE_BYTES, logger=_logger)
        if self._parser.state is State.OPEN:
            self._parser.send_close(code, _clip(reason))
            self._answer(self._parser)
        else:
            self._transport.write(Frame(Opcode.CLOSE, Close(code, _clip(reason)).serialize()).serialize(mask=False))
        self._end_soon()

    def _end_soon(self) -> None:
        # Closing now, with data unread, would reset the connection and take the close frame with it.
        self._transport.resume_reading()
        if self._closing is None:
            self._closing = asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self._transport.close)

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()


def _clip(reason: str) -> str:
    """A close frame's reason has room for 123 bytes (RFC 6455, section 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")
