"""HTTP under uvicorn, with what a public port needs: bounded heads, bodies, time and work, whoever sends them.

uvicorn's protocol feeds its parser whatever has arrived. Here heads are gathered and looked at first: one that is too
long, too slow or none is refused, one that asks for a WebSocket goes where those are, and an upgrade to anything else
is taken away, since the parser would drop the body that follows it. The next request is read when the last is answered.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
import uvicorn
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from presence_server.core.codes import ErrorCode
from presence_server.web import handshake, heads, problems
from presence_server.web.heads import Head
from presence_server.web.protocol import PresenceProtocol
from presence_server.web.strangers import strangers_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

# Of a body as it is sent, chunks and all; what the API takes is less.
MAX_BODY_BYTES: Final = 512 * 1024
MAX_DROPPED_BYTES: Final = 16 * 1024 * 1024
_CHUNKED_BYTES: Final = 4 * 1024
_MAX_BLANK_BYTES: Final = 64
# What is kept of a peer that sends more before it has had its answer.
_MAX_WAITING_BYTES: Final = 64 * 1024


class HttpProtocol(HttpToolsProtocol):
    """One TCP connection that speaks HTTP.

    Args:
        config, server_state, app_state: of uvicorn.
        due_s: until when, by the loop's clock, the first head must be complete.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        due_s: float | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._application = cast("Starlette", config.app)
        self._timeout_s: float = self._application.state.settings.handshake_timeout_s
        self._waiting = bytearray()
        # How many bytes of the body are still to come; None when only its chunks tell.
        self._body_left: int | None = 0
        self._body_bytes = 0
        self._head_read = False
        self._blank = 0
        # How many bytes are still read of a body that is too large; None of any other.
        self._to_drop: int | None = None
        # A head with an upgrade that only the parser could read.
        self._unusual: Head | None = None
        self._due_s = due_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_within(self._due_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self._waiting.clear()
        super().connection_lost(exc)

    # --- reading ----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._to_drop is not None:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        self._waiting += data
        self._work()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self._waiting:
            self._unset_keepalive_if_required()
            self._work()

    @property
    def _busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _work(self) -> None:
        while self._waiting and self._to_drop is None and not self.transport.is_closing():
            if self._body_left is None or self._body_left > 0:
                self._read_body()
            elif self._busy:
                # One request at a time, or one segment of them would keep everybody else waiting.
                if len(self._waiting) > _MAX_WAITING_BYTES:
                    self.flow.pause_reading()
                return
            elif not self._read_head():
                return

    def _read_head(self) -> bool:
        """Take a head off what is waiting; tells whether there was one."""
        if self._deadline is None:
            self._expect_within(None)
        # RFC 9112, section 2.2: an empty line before a request is ignored; but not any number of them.
        blank = len(self._waiting) - len(self._waiting.lstrip(b"\r\n"))
        del self._waiting[:blank]
        self._blank += blank
        if self._blank > _MAX_BLANK_BYTES:
            self._refuse("not_http")
            return False
        end = self._waiting.find(heads.END)
        data = self._waiting if end < 0 else bytes(self._waiting[: end + len(heads.END)])
        if data and (kind := heads.trouble(data)):
            self._refuse(kind)
        elif isinstance(data, bytes):
            del self._waiting[: len(data)]
            self._take(data)
            return True
        return False

    def _take(self, data: bytes) -> None:
        head = heads.read(data)
        if head is not None and head.values(b"upgrade"):
            if handshake.is_wanted(head):
                self._enter(head)
                return
            data = heads.write(head._replace(headers=[header for header in head.headers if header[0] != b"upgrade"]))
        self._head_read, self._body_bytes, self._blank = False, 0, 0
        self._expect_nothing()
        self._feed(data)
        if self._body_left != 0 and not self.transport.is_closing():
            self._expect_within(None)

    def _read_body(self) -> None:
        # Where chunks end is known to the parser alone; so it gets little at once, and can be stopped there.
        piece = bytes(self._waiting[: _CHUNKED_BYTES if self._body_left is None else self._body_left])
        del self._waiting[: len(piece)]
        self._body_bytes += len(piece)
        if self._body_left is not None:
            self._body_left -= len(piece)
        # Who has his answer already may ask again on this connection, once he has sent the rest: nothing of it is kept.
        if self._body_bytes > (MAX_BODY_BYTES if self._busy else MAX_DROPPED_BYTES):
            self._drop_body()
        else:
            self._feed(piece)

    def _drop_body(self) -> None:
        """Read on without keeping anything, for a while: closed while its sender still sends, he would not read why."""
        strangers_of(self._application).saw("large_body")
        if not self.cycle.response_started:
            self.transport.write(problems.written(_answer_to("large_body")))
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self._to_drop = MAX_BODY_BYTES if self._body_left is None else min(self._body_left, MAX_DROPPED_BYTES)
        self._drop(len(self._waiting))
        self._waiting.clear()

    def _drop(self, size: int) -> None:
        assert self._to_drop is not None
        self._to_drop -= size
        if self._to_drop <= 0:
            self.transport.close()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse("bad_http")
        except httptools.HttpParserUpgrade:
            if self._unusual is not None and handshake.is_wanted(self._unusual):
                self._enter(self._unusual)
            else:
                self._refuse("bad_http")

    # --- what uvicorn's parser reports ------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here as well, and are nobody's headers.
        if not self._head_read:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_read = True
        head = Head(self.parser.get_method(), self.url, self.parser.get_http_version().encode(), self.headers)
        if self.parser.should_upgrade():
            self._unusual = head
            return
        chunked = bool(head.values(b"transfer-encoding"))
        self._body_left = None if chunked else int((head.values(b"content-length") or [b"0"])[0])
        super().on_headers_complete()
        if chunked:
            # What the parser has read beyond it is not to be answered.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._expect_nothing()
        self._body_left = 0
        if self._unusual is None:
            super().on_message_complete()

    # --- other ways out ---------------------------------------------------------------------------------------------

    def _enter(self, head: Head) -> None:
        """Hand the connection over to a WebSocket, or refuse it."""
        self._expect_nothing()
        self.connections.discard(self)
        protocol = PresenceProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        # It and this protocol hold each other.
        self.parser = None  # type: ignore[assignment]
        rest = bytes(self._waiting)
        self._waiting.clear()
        protocol.enter(handshake.answer(head, self._application), self.loop.time() + self._timeout_s)
        if rest:
            protocol.data_received(rest)

    def _refuse(self, kind: str) -> None:
        """End the connection of somebody who does not speak HTTP as it is spoken here."""
        strangers_of(self._application).saw(kind)
        self._waiting.clear()
        self._expect_nothing()
        in_body = self._body_left != 0 or self._body_bytes > 0
        if not in_body or not self.cycle.response_started:
            self.transport.write(problems.written(_answer_to(kind)))
        if self._busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    # --- time -------------------------------------------------------------------------------------------------------

    def _expect_within(self, due_s: float | None) -> None:
        self._expect_nothing()
        due_s = self.loop.time() + self._timeout_s if due_s is None else due_s
        self._deadline = self.loop.call_at(due_s, self._too_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self._to_drop is not None:
            self.transport.abort()
            return
        self._refuse("too_slow")


_ANSWERS: Final = {
    "large_head": (431, ErrorCode.TOO_LARGE, f"Expected a head of up to {heads.MAX_HEAD_BYTES} bytes, got more"),
    "large_body": (413, ErrorCode.TOO_LARGE, "Expected a body that the API takes, got a larger one"),
    "too_slow": (408, ErrorCode.REQUEST_TIMEOUT, "Expected a whole request in time, got a part of it"),
}


def _answer_to(kind: str) -> Response:
    otherwise = (400, ErrorCode.BAD_MESSAGE, "Expected a request of HTTP/1.1, got something else")
    status, code, detail = _ANSWERS.get(kind, otherwise)
    return problems.problem(status, code, HTTPStatus(status).phrase, detail)
