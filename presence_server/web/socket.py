"""`GET /v1/ws`: the handshake, and the socket of a connection under any ASGI server.

Under uvicorn with `web.protocol` none of this runs. Elsewhere the same connections are served from `receive` and `send`
here, with a task that reads and one that writes.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from presence_server.core import frames
from presence_server.core.codes import CloseCode, ErrorCode
from presence_server.live.connection import GONE, Connection
from presence_server.live.connections import Connections
from presence_server.web import handshake, problems
from presence_server.web.any_frames import clip
from presence_server.web.protocol import CLOSE_TIMEOUT_S

if TYPE_CHECKING:
    from presence_server.live.worker import Worker

# As much as a transport buffers before it says that it is too much.
_HIGH_WATER_BYTES: Final = 65_536


class Endpoint:
    """Accepts a WebSocket and serves it (section 5 of the contract).

    An object, since a route would take a function for a view of a Starlette WebSocket.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = scope["app"]
        worker: Worker = app.state.worker
        await receive()
        refusal = handshake.admission(Headers(scope=scope), app)
        if refusal is not None and refusal.error is None:
            await _deny(scope, refusal, send)
            return
        await send({"type": "websocket.accept"})
        if refusal is not None and refusal.error is not None:
            code = refusal.error.close_code
            worker.counters.refusals[str(code)] += 1
            await send({"type": "websocket.close", "code": code, "reason": clip(refusal.detail)})
            return
        await AsgiSocket(send).serve(worker.connections, receive)


async def upgrade_required(request: Request) -> Response:
    """Answer a plain request for the path of the WebSocket: somebody in between has taken its upgrade away."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return problems.problem(426, ErrorCode.UPGRADE_REQUIRED, "Upgrade required", handshake.NO_UPGRADE, headers=headers)


route: Final = Route(handshake.PATH, upgrade_required)


async def _deny(scope: Scope, refusal: handshake.Refusal, send: Send) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        # The server makes an answer of its own, 403 by the ASGI specification.
        await send({"type": "websocket.close"})
        return
    response = refusal.response()
    start = {"status": response.status_code, "headers": response.raw_headers}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})


class AsgiSocket:
    """A `live.connection.Socket` over ASGI's `send`.

    The server under it pings by its own settings, and ends the connection when there is no answer.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._connection: Connection
        self._presence: Connections
        self._writer: asyncio.Task[None]
        self._out: deque[dict[str, Any]] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()

    async def serve(self, presence: Connections, receive: Receive) -> None:
        """Serve until either side closes."""
        self._presence = presence
        self._connection = presence.accept(self)
        writer = self._writer = asyncio.create_task(self._write_all())
        reader = asyncio.create_task(self._read_all(receive))
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.cancel()
            reader.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)
            presence.lost(self._connection, CloseCode.ABNORMAL)
            self._connection.socket = GONE

    async def _read_all(self, receive: Receive) -> None:
        while True:
            await self._reading.wait()
            event = await receive()
            if event["type"] == "websocket.disconnect":
                self._presence.lost(self._connection, event.get("code", CloseCode.NO_CODE))
                return
            text = event.get("text")
            if text is None:
                self._presence.garbled(self._connection, "Expected a text frame, got a binary one")
            else:
                self._presence.received(self._connection, text.encode(errors="surrogatepass"))

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._out:
                event = self._out.popleft()
                self._bytes -= len(event.get("text", ""))
                await self._send(event)
                if event["type"] == "websocket.close":
                    return
                if self._bytes < _HIGH_WATER_BYTES // 4 and self._connection.blocked_s:
                    self._presence.resumed(self._connection)

    # --- the socket of a connection (live.connection.Socket) --------------------------------------------------------

    def write(self, frame: bytes) -> None:
        text = frames.payload(frame).decode()
        self._put({"type": "websocket.send", "text": text})
        self._bytes += len(text)
        if self._bytes > _HIGH_WATER_BYTES:
            self._presence.paused(self._connection)

    def ping(self) -> None:
        self._connection.heard_s = time.monotonic()

    def close(self, code: int, reason: str = "") -> None:
        self.resume_reading()
        self._put({"type": "websocket.close", "code": code, "reason": clip(reason)})
        # A writer that is stuck never comes to send it.
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """End the coroutine; what the server under it still has to send is the server's to drop."""
        self._writer.cancel()

    def pending(self) -> int:
        return self._bytes

    def taken(self) -> int:
        return -self._bytes

    def silent_s(self) -> float:
        return math.inf

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def _put(self, event: dict[str, Any]) -> None:
        self._out.append(event)
        self._wake.set()
