"""What every TCP connection begins with: handshakes in the usual form are answered here, all else is uvicorn's to read.

Ten thousand clients that come back at once are ten thousand handshakes, and nearly all look alike. Reading them by
uvicorn's HTTP protocol, and then once more by `websockets`, is a third of what a connect costs.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from presence_server.web import handshake
from presence_server.web.protocol import PresenceProtocol


class FrontProtocol(PresenceProtocol):
    """A presence connection from its first byte, unless that is the beginning of something else."""

    __slots__ = ("_arguments",)

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._arguments = (config, server_state, app_state)

    def _shake_hands(self, head: bytes) -> None:
        headers = None if self._app.state.worker.draining else handshake.read(head)
        if headers is None:
            self._hand_over(head)
        else:
            self._arguments = cast(Any, None)
            self._enter(handshake.accept(headers, self._app))

    def _hand_over(self, data: bytes) -> None:
        http = HttpToolsProtocol(*self._arguments)
        self._server.discard(self)
        http.connection_made(self._transport)
        # First of all, because it may itself hand over to somebody else.
        self._transport.set_protocol(cast(asyncio.BaseProtocol, http))
        http.data_received(data)
