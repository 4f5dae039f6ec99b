"""One WebSocket connection of a test: what it sends, and all it was sent, in views that object to what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Self

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode

from tests.support.timing import SOON_S, now_ms
from tests.support.view import Message, TeamView, Violation

_CODES = {"bad_message", "unknown_type", "status_not_selectable", "unknown_status", "not_a_member"}
_CODES |= {"rate_limited", "too_many_users", "bad_token", "unavailable"}
_TYPES = {"welcome", "self", "snapshot", "delta", "ack", "explanation", "error", "feed"}


class Wire:
    """An open connection; `open` makes it.

    Attributes:
        views: by team.
        messages: everything received, in order.
        unclaimed: what no test has asked for yet.
        close_code: None while it is open; 1006 when it was cut off without a close frame.
        news: set whenever something came in or the connection ended.
        reader: ends with the connection.
    """

    def __init__(self, connection: ClientConnection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.views: dict[str, TeamView] = {}
        self.messages: list[Message] = []
        self.close_code: int | None = None
        self.close_reason = ""
        self.received_bytes = 0
        self.unclaimed: list[Message] = []
        self._violation: Violation | None = None
        self.news = asyncio.Event()
        self.reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, *, name: str = "client", origin: str | None = None, **options: Any) -> Self:
        """Open a connection that has not said hello."""
        # No flow control of the library's own: `freeze` alone decides what is read.
        options = {"compression": None, "ping_interval": None, "max_size": None, "max_queue": None} | options
        origin_header = None if origin is None else websockets.Origin(origin)
        connection = await connect(url, proxy=None, origin=origin_header, close_timeout=SOON_S, **options)
        return cls(connection, name)

    # What it sends

    async def send(self, type_: str, **fields: object) -> None:
        await self.send_text(json.dumps({"type": type_, **fields}))

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is; a connection that is closed by now is what the test will look at next."""
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.connection.send(text)

    async def send_bytes(self, data: bytes) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.connection.send(data)

    def send_frame(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        """Send one frame as it is, however wrong."""
        self.connection.transport.write(Frame(opcode, data, fin).serialize(mask=True, extensions=[]))

    # How it ends

    async def leave(self, code: int = 1001) -> None:
        """Close without logout, as a tab does that is reloaded."""
        await self.connection.close(code)
        await self.reader

    async def drop(self) -> None:
        """Lose the connection without a close frame."""
        self.connection.transport.abort()
        await self.reader

    def freeze(self) -> None:
        """Stop reading: pings go unanswered too, as on a half-open connection."""
        self.connection.transport.pause_reading()

    def thaw(self) -> None:
        self.connection.transport.resume_reading()

    async def end(self) -> None:
        """Make sure that nothing of it is left; raises what it objects to."""
        if self.close_code is None:
            self.connection.transport.abort()
        await self.reader
        self.check()

    # What it was sent

    def of_type(self, *types: str) -> list[Message]:
        return [message for message in self.messages if message["type"] in types]

    def check(self) -> None:
        """Raise what this connection objects to, if anything."""
        if self._violation is not None:
            raise self._violation

    def __repr__(self) -> str:
        return f"<{self.name}>"

    async def _read(self) -> None:
        try:
            async for data in self.connection:
                self._receive(data)
                self.news.set()
        except websockets.ConnectionClosedError:
            pass
        except Violation as violation:
            self._violation = violation
            self.connection.transport.abort()
        await self.connection.wait_closed()
        self.close_code = self.connection.close_code or 1006
        self.close_reason = self.connection.close_reason or ""
        self.news.set()

    def _receive(self, data: str | bytes) -> None:
        at_ms = now_ms()
        if not isinstance(data, str):
            raise Violation(f"Expected text frames, got {data!r}")
        self.received_bytes += len(data)
        message = json.loads(data)
        if not isinstance(message, dict) or message.get("type") not in _TYPES:
            raise Violation(f"Expected a message of the contract, got {data[:500]}")
        if message["type"] == "error" and message.get("code") not in _CODES:
            raise Violation(f"Expected an error code of the contract, got {data[:500]}")
        self.messages.append(message)
        self.unclaimed.append(message)
        if message["type"] in ("self", "snapshot", "delta"):
            view = self.views.setdefault(message["team"], TeamView(message["team"]))
            if message["type"] == "self":
                view.apply_self(message)
            elif message["type"] == "snapshot":
                view.apply_snapshot(message, at_ms)
            else:
                view.apply_delta(message, at_ms)

    def situation(self) -> str:
        """For reports: the views, the end if there was one, and the last messages."""
        views = "\n".join(
            f"  {team} {view.epoch}/{view.version}: {view.statuses()}" for team, view in self.views.items()
        )
        last = "\n".join(f"  {json.dumps(message)[:400]}" for message in self.messages[-12:])
        closed = "" if self.close_code is None else f"\nclosed: {self.close_code} {self.close_reason}"
        return f"{closed}\nits view:\n{views}\nthe last it received:\n{last}"
