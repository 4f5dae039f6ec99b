"""WebSockets byte by byte: a server with the real protocol and nothing above it, and a client that may be wrong."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute
from websockets.frames import Close, Opcode
from websockets.utils import apply_mask

from presence_server.core import frames
from presence_server.core.connection import State
from presence_server.live.connection import Connection
from presence_server.live.connections import Connections
from presence_server.live.counters import Counters
from presence_server.live.members import Members
from presence_server.live.pulse import Pulse
from presence_server.settings import Settings
from presence_server.web import server
from presence_server.web.handshake import PATH
from presence_server.web.socket import Endpoint
from tests.support import tokens
from tests.support.timing import SOON_S

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

HEAD = (
    f"GET {PATH} HTTP/1.1\r\nHost: server.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
"""The head of a handshake, but for the empty line."""


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on asyncio's own event loop and on uvloop: their transports differ in more than speed."""

    @pytest.mark.parametrize("new_loop", LOOPS.values(), ids=LOOPS.keys())
    @functools.wraps(test)
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        async def within() -> None:
            await test(**arguments)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(within())

    signature = inspect.signature(test)
    own = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    vars(run)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), own])
    return cast("Callable[..., None]", run)


class Presence(Connections):
    """The worker's connections, of which none gets as far as a message being understood.

    Attributes:
        made: the connections, in order.
        events: what their sockets have reported.
    """

    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.events: list[tuple[str, object]] = []
        self.worker = SimpleNamespace(counters=Counters(), connections=self, draining=False, settings=Settings())
        self.pulse = Pulse(20.0, 20.0, self.end)
        # Whatever needs Redis is not there: nobody gets in.
        nothing = cast(Any, None)
        self.members = Members(nothing, self.pulse, self.worker.counters, 20, time.monotonic)
        super().__init__(
            partitions=nothing,
            members=self.members,
            opening=nothing,
            access=nothing,
            pulse=self.pulse,
            counters=self.worker.counters,
            spawn=nothing,
            clock=time.monotonic,
        )

    def __len__(self) -> int:
        return len(self.members)

    def end(self, connection: Connection, code: int, reason: str) -> None:
        self.members.end(connection, code, reason)

    def beat_by(self, pulse: Pulse) -> None:
        """Have another pulse from now on."""
        self.pulse = self._pulse = pulse
        vars(self.members)["_watch"] = pulse

    @property
    def texts(self) -> list[bytes]:
        return [cast(bytes, data) for name, data in self.events if name == "received"]

    def accept(self, socket: Any) -> Connection:
        self.made.append(super().accept(socket))
        return self.made[-1]

    def received(self, connection: Connection, data: bytes) -> None:
        if connection.state is not State.CLOSED:
            self.events.append(("received", data))

    def garbled(self, connection: Connection, why: str) -> None:
        self.events.append(("garbled", why))
        super().garbled(connection, why)

    def lost(self, connection: Connection, code: int) -> None:
        if connection.state is not State.CLOSED:
            self.events.append(("lost", code))
        super().lost(connection, code)

    def paused(self, connection: Connection) -> None:
        self.events.append(("paused", None))
        super().paused(connection)

    def resumed(self, connection: Connection) -> None:
        self.events.append(("resumed", None))
        super().resumed(connection)


@dataclass
class Serving:
    """A running server.

    Attributes:
        presence: what it serves.
        connections: the sockets that uvicorn knows of.
    """

    presence: Presence
    port: int
    connections: set[Any]
    stop: Callable[[], Awaitable[None]]
    app: Starlette
    config: uvicorn.Config
    peers: list[Peer] = field(default_factory=list)

    async def connect(self, **options: Any) -> Peer:
        self.peers.append(await Peer.connect(self.port, **options))
        return self.peers[-1]

    async def connected(self, **options: Any) -> tuple[Peer, Connection]:
        """A peer whose handshake is done, and its connection at the server."""
        peer = await self.connect(**options)
        await peer.shake_hands()
        await until(lambda: self.presence.made)
        return peer, self.presence.made[-1]


@asynccontextmanager
async def serving(
    *, ws: str | None = None, settings: Settings | None = None, routes: Sequence[BaseRoute] = ()
) -> AsyncIterator[Serving]:
    """Serve with the server's own configuration, or with another `ws` implementation of uvicorn's."""
    presence = Presence()
    presence.worker.settings = settings = settings or Settings(jwt_secret=tokens.SECRET)
    app = Starlette(routes=[WebSocketRoute(PATH, Endpoint()), *routes])
    app.state.worker, app.state.settings = presence.worker, settings
    config = server.configuration(app, settings)
    if ws is not None:
        config.http, config.ws, config.ws_ping_interval = "httptools", cast(Any, ws), None
        config.ws_max_size, config.ws_per_message_deflate = 65_536, False
    running = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(running.serve([listener]))

    async def stop() -> None:
        running.should_exit = True
        await task

    await until(lambda: running.started)
    connections = cast("set[Any]", running.server_state.connections)
    serving = Serving(presence, listener.getsockname()[1], connections, stop, app, config)
    try:
        yield serving
    finally:
        for peer in serving.peers:
            await peer.hang_up()
        await stop()


async def until(found: Callable[[], object], within_s: float = SOON_S) -> None:
    """Wait until `found()` is true."""
    try:
        async with asyncio.timeout(within_s):
            while not found():  # noqa: ASYNC110 - there is nothing to be woken by
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"Expected it within {within_s} s") from None


MESSAGE = frames.text(b"x" * 8_000)
"""What fills a socket's buffer soon."""


async def stuff(connection: Connection) -> int:
    """Send as teams do, until the connection is blocked; returns how many messages that took."""
    count = 0
    while not connection.blocked_s:
        connection.socket.write(MESSAGE)
        count += 1
        await asyncio.sleep(0)
        assert count < 10_000, "Expected a peer that does not read to be noticed"
    return count


class Told(NamedTuple):
    """A frame from the server."""

    opcode: Opcode
    data: bytes

    @property
    def code(self) -> int:
        return Close.parse(self.data).code

    @property
    def reason(self) -> str:
        return Close.parse(self.data).reason


_KEY = b"\x12\x34\x56\x78"


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    """A frame as a client sends it, however wrong."""
    size = len(data)
    if size < 126:
        short, extended = size, b""
    elif size < 65_536:
        short, extended = 126, size.to_bytes(2, "big")
    else:
        short, extended = 127, size.to_bytes(8, "big")
    head = bytes([fin << 7 | rsv << 4 | opcode, mask << 7 | short]) + extended
    return head + _KEY + apply_mask(data, _KEY) if mask else head + data


def text(data: bytes) -> bytes:
    return frame(Opcode.TEXT, data)


def close(code: int, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, Close(code, reason).serialize())


@dataclass
class Peer:
    """A client of raw bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    response: bytes = field(default=b"")

    @classmethod
    async def connect(cls, port: int, *, narrow: bool = False) -> Peer:
        """Open a TCP connection; a narrow one holds few kilobytes that have not been read."""
        line = socket.socket()
        if narrow:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", port))
        # The stream's own limit is low, so that what is not awaited is not read either.
        return cls(*await asyncio.open_connection(sock=line, limit=4_096))

    def send(self, *data: bytes) -> None:
        """Send at once, in one segment as far as there is room."""
        self.writer.write(b"".join(data))

    async def shake_hands(self, *, headers: str = "") -> None:
        assert (await self.request(HEAD + headers)).startswith(b"HTTP/1.1 101 ")

    async def request(self, head: str) -> bytes:
        """Send a request; returns the head of the response."""
        self.send(head.encode() + b"\r\n")
        self.response = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SOON_S)
        return self.response

    async def told(self) -> Told:
        """The next frame."""
        async with asyncio.timeout(SOON_S):
            first, length = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80, f"Expected a whole frame, got {first:#x}"
            assert length < 128, "Expected a frame that is not masked"
            if length > 125:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
            return Told(Opcode(first & 0x0F), await self.reader.readexactly(length))

    async def rest(self) -> list[Told]:
        """All frames until the server has ended the TCP connection."""
        frames = []
        while True:
            try:
                frames.append(await self.told())
            except (asyncio.IncompleteReadError, ConnectionError):
                return frames

    async def closed(self) -> Told:
        """The close frame, which must be the last and only one, after whatever other frames."""
        frames = await self.rest()
        assert [each.opcode for each in frames].count(Opcode.CLOSE) == 1, f"Expected one close frame, got {frames}"
        assert frames[-1].opcode is Opcode.CLOSE
        return frames[-1]

    async def hang_up(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
