"""What every TCP connection begins with: handshakes that come whole are answered here, all else is HTTP.

Ten thousand clients that come back at once are ten thousand handshakes, and nearly all come in one piece: no HTTP
protocol, with its parser, is made for them.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from presence_server.web import handshake, heads
from presence_server.web.http import HttpProtocol
from presence_server.web.protocol import PresenceProtocol


class FrontProtocol(PresenceProtocol):
    """A presence connection from its first byte, unless that is the beginning of something else."""

    __slots__ = ("_arguments", "_due_s")

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._arguments = (config, server_state, app_state)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + self._app.state.settings.handshake_timeout_s
        self._expect_by(self._due_s)

    def _begin(self, data: bytes) -> None:
        head = heads.read(data)
        if head is None or not handshake.is_wanted(head):
            self._hand_over(data)
        else:
            self._arguments = cast(Any, None)
            self.enter(handshake.answer(head, self._app), self._due_s)

    def _hand_over(self, data: bytes) -> None:
        http = HttpProtocol(*self._arguments, due_s=self._due_s)
        self._expect_nothing()
        self._server.discard(self)
        http.connection_made(self._transport)
        # First of all, because it may itself hand over to somebody else.
        self._transport.set_protocol(cast(asyncio.BaseProtocol, http))
        http.data_received(data)
