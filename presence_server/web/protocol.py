"""The WebSocket protocol under uvicorn: handshake, frames, and the socket of a connection, in one small object.

An ASGI coroutine that only waits for messages costs more memory than everything else about a connection, and every
frame sent through it is encoded anew. Here text frames are plain calls, what is sent are ready-made frames written to
the transport, and there is no task, no scope and no queue: 4 KB a connection instead of 24. Under any other ASGI server
the same connections are served by `web.socket`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, State

from presence_server.core.bucket import Rate, TokenBucket
from presence_server.core.codes import CloseCode
from presence_server.core.connection import State as Stage
from presence_server.core.frames import PING
from presence_server.core.messages import MAX_HELLO_BYTES, MAX_MESSAGE_BYTES
from presence_server.live.connection import GONE, Connection
from presence_server.live.connections import Connections
from presence_server.web import any_frames, handshake, small_frames, tcp

if TYPE_CHECKING:
    from starlette.applications import Starlette

# How long a peer may take to read and answer a close frame.
CLOSE_TIMEOUT_S: Final = 2.0

FRAME_RATE: Final = Rate(per_s=100.0, burst=300.0)
"""Of frames that are no messages: pings, pongs, fragments. Messages have their own rate, whatever they hold."""
MAX_EARLY_BYTES: Final = MAX_HELLO_BYTES + MAX_MESSAGE_BYTES
"""Of messages before the welcome: a hello, and what a client sends on its heels."""

# So many frames a read cost nothing, so that hardly any connection has a bucket.
_FREE_FRAMES: Final = 16
# How much the library reads at once: some 300 of the smallest frames, 3 ms of work.
_SLICE_BYTES: Final = 2_048
# How far an answer to a close frame is looked for in what was sent before it, and how much of that is read at all.
_LAST_BYTES: Final = 8_192
_DROPPED_BYTES: Final = 262_144
# What a ping, pong or fragment before the welcome counts for: some two dozen are let pass.
_EARLY_FRAME_BYTES: Final = 4_096
_TURN_S: Final = 0.5


class PresenceProtocol(asyncio.Protocol):
    """The protocol of one transport, and its connection's socket (live.connection.Socket).

    Frames of the usual form are read here; at the first other one, `websockets`' parser is made and takes over.

    Args:
        config: uvicorn's, with the application.
        server_state: uvicorn's, with the set of connections to shut down.
        app_state: of the lifespan; not used.
    """

    __slots__ = (
        "_app",
        "_closing",
        "_connection",
        "_deadline",
        "_early",
        "_frames",
        "_last",
        "_message",
        "_open",
        "_parser",
        "_presence",
        "_server",
        "_transport",
        "write",
    )

    _connection: Connection
    _transport: asyncio.Transport

    def __init__(self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._app = cast("Starlette", config.app)
        self._server = cast("set[Any]", server_state.connections)
        self._presence: Connections = self._app.state.worker.connections
        # Whether the handshake is done, and there is a connection.
        self._open = False
        self._parser: Protocol | None = None
        # One buffer: a list of fragments would grow with empty ones without end.
        self._message: bytearray | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._frames: TokenBucket | None = None
        # How many bytes of messages came before the welcome.
        self._early = 0
        # And how many bytes after the close frame of this side.
        self._last = 0

    # --- what comes in ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        self._server.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self._begin(data)
            return
        self._connection.heard_s = time.monotonic()
        at, free = 0, _FREE_FRAMES
        while self._parser is None:
            frame = small_frames.take(data, at)
            if frame is None:
                self._parser = any_frames.make_parser()
                break
            if frame.text is not None:
                self._deliver(frame.text)
            else:
                free = self._charge(free)
            at = frame.end
            if at == len(data):
                return
        self._parse(self._parser, data, at, free)

    def _begin(self, data: bytes) -> None:
        """Something came before the handshake was done."""

    def enter(self, answer: handshake.Answer, due_s: float) -> None:
        """Begin with the answer to a handshake.

        Args:
            answer: what to send.
            due_s: until when, by the loop's clock, the hello must have come.
        """
        self._transport.write(answer.response)
        if not answer.accepted:
            self._expect_nothing()
            self._end_now()
            return
        self._connection = self._presence.accept(self)
        self._open = True
        if self._deadline is None:
            self._expect_by(due_s)
        if answer.error is not None:
            self._presence.refuse(self._connection, answer.error)

    def _parse(self, parser: Protocol, data: bytes, at: int, free: int) -> None:
        """Let the library read, in slices, since a read may bring forty thousand frames."""
        while at < len(data) and not self._transport.is_closing():
            if self._closing is not None and not self._look_on(len(data) - at):
                return
            parser.receive_data(data[at : at + _SLICE_BYTES])
            at += _SLICE_BYTES
            for event in parser.events_received():
                # What follows a close frame of this side is read only so that the frame arrives.
                if isinstance(event, Frame) and self._closing is None:
                    if not any_frames.is_message(event):
                        free = self._charge(free)
                    self._take(event)
            if parser.parser_exc is not None and self._closing is None:
                self._fail(parser)
            else:
                self._answer(parser)

    def _deliver(self, message: bytes) -> None:
        """Hand on a message; before the welcome, not more than a little, since it may have to be kept."""
        connection = self._connection
        if connection.state is not Stage.OPEN:
            self._early += len(message)
            if self._early > MAX_EARLY_BYTES:
                self._presence.end(connection, CloseCode.RATE_BROKEN, "too much before welcome")
        self._presence.received(connection, message)

    def _charge(self, free: int) -> int:
        """Count a frame that is no message, of which a client has no reason to send many, and a stranger any.

        Returns:
            How many more of this read are free.
        """
        connection = self._connection
        if connection.state is not Stage.OPEN:
            self._early += _EARLY_FRAME_BYTES
            if self._early <= MAX_EARLY_BYTES:
                return 0
        elif free > 0:
            return free - 1
        elif self._frames is None:
            self._frames = TokenBucket(FRAME_RATE, connection.heard_s)
            return 0
        elif not self._frames.spend(FRAME_RATE, connection.heard_s):
            return 0
        self._presence.end(connection, CloseCode.RATE_BROKEN, "too many frames")
        return 0

    def _look_on(self, size: int) -> bool:
        """Tell whether to go on looking for the answer to a close frame of this side, in so much more."""
        if self._last > _LAST_BYTES:
            # Read and dropped for a while, so that the peer can read why; then left where it is.
            self._last += size
            if self._last > _DROPPED_BYTES:
                self._transport.pause_reading()
            return False
        self._last += _SLICE_BYTES
        return True

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            received = cast(Protocol, self._parser).close_rcvd
            self._presence.lost(self._connection, received.code if received is not None else CloseCode.NO_CODE)
        elif frame.opcode is Opcode.BINARY:
            self._presence.garbled(self._connection, "Expected a text frame, got a binary one")
        elif frame.opcode is Opcode.TEXT and frame.fin:
            self._deliver(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            self._message = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
            if frame.fin:
                message, self._message = bytes(self._message), None
                self._deliver(message)

    def _answer(self, parser: Protocol) -> None:
        """Send what the library has to say: pongs, a close frame. After one of this side nothing follows."""
        for data in parser.data_to_send():
            if data and self._closing is None:
                self._transport.write(data)
        if parser.close_rcvd is not None:
            # The server is the first to end the TCP connection (RFC 6455, section 7.1.1).
            self._end_now()

    def _fail(self, parser: Protocol) -> None:
        """End the connection by what the library objects to."""
        answer = parser.data_to_send()
        code = cast(Close, parser.close_sent).code
        if code in (CloseCode.INVALID_DATA, CloseCode.TOO_BIG):
            # What the library would answer, put in the contract's words.
            self._presence.garbled(self._connection, "Expected a text frame of at most 64 KiB, got something else")
            return
        self._presence.lost(self._connection, code)
        self._transport.write(b"".join(answer))
        self._end_soon()

    def eof_received(self) -> None:
        """The peer will send no more; there is nothing a presence connection could still be good for."""
        if self._open:
            self._presence.lost(self._connection, CloseCode.ABNORMAL)
        self._end_now()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        if self._open:
            self._presence.lost(self._connection, CloseCode.ABNORMAL)
            # Whatever would be a cycle ends here: the garbage collector comes by once in millions of connections.
            self._connection.socket = GONE
        if self._parser is not None:
            any_frames.let_go(self._parser)
        self._server.discard(self)
        if self._closing is not None:
            self._closing.cancel()

    def pause_writing(self) -> None:
        if self._open:
            self._presence.paused(self._connection)

    def resume_writing(self) -> None:
        if self._open:
            self._presence.resumed(self._connection)

    def shutdown(self) -> None:
        """uvicorn ends: whoever is left after the drain is told so."""
        if self._open:
            self.close(CloseCode.RESTART)
        self._end_now()

    # --- until the hello --------------------------------------------------------------------------------------------

    def _expect_by(self, due_s: float) -> None:
        self._deadline = asyncio.get_running_loop().call_at(due_s, self._too_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        """The one deadline from accepting a TCP connection to its hello, which nothing puts off."""
        self._deadline = None
        if not self._open:
            self._transport.abort()
        elif self._connection.state is Stage.EXPECTED:
            if self._connection.greeted:
                # What has come waits only for its turn, which is not his fault.
                self._expect_by(asyncio.get_running_loop().time() + _TURN_S)
            else:
                self._presence.end(self._connection, CloseCode.NO_HELLO, CloseCode.NO_HELLO.reason)

    # --- the socket of a connection (live.connection.Socket) --------------------------------------------------------

    def ping(self) -> None:
        self._transport.write(PING)

    def close(self, code: int, reason: str = "") -> None:
        if self._transport.is_closing() or self._closing is not None:
            return
        if self._parser is None:
            self._parser = any_frames.make_parser()
        if self._parser.state is State.OPEN:
            self._parser.send_close(code, any_frames.clip(reason))
            self._answer(self._parser)
        else:
            self._transport.write(any_frames.close(code, reason))
        self._end_soon()

    def _end_soon(self) -> None:
        # Closing now, with data unread, would reset the connection and take the close frame with it.
        self._transport.resume_reading()
        self._give_up_later()

    def _end_now(self) -> None:
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._give_up_later()

    def _give_up_later(self) -> None:
        # A peer that does not read could otherwise keep the socket, and what is in its buffer, for ever.
        if self._closing is None:
            self._closing = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.abort)

    def abort(self) -> None:
        self._transport.abort()

    def pending(self) -> int:
        return tcp.pending(self._transport)

    def taken(self) -> int:
        return tcp.taken(self._transport)

    def silent_s(self) -> float:
        return tcp.silent_s(self._transport)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
