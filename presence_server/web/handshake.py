"""The opening handshake (RFC 6455, section 4.2): who may open a WebSocket here, and what it is answered.

Requests of the usual form, from browsers and the common libraries, are read by one expression: 8 µs instead of 150 for
an HTTP server's parser and then `websockets`, which read and answer all others.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from presence_server.web.origins import origin_allowed

if TYPE_CHECKING:
    from starlette.applications import Starlette

PATH: Final = "/v1/ws"
DRAINING: Final = "Expected a worker that stays, got one that drains: use another"
FOREIGN_ORIGIN: Final = "Expected an allowed Origin; see PRESENCE_ALLOWED_ORIGINS"

# More than browsers send; whoever sends more is read by the library, which has limits of its own.
_USUAL_BYTES: Final = 8_192
_USUAL_HEADERS: Final = 64
_USUAL: Final = re.compile(
    rb"GET /v1/ws(?:\?[!-~]{0,2048})? HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
)
# 16 bytes, of which the last of the 22 digits carries four bits.
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
# Only a body would have them, and then the question is where it ends.
_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})
_KEY_NAME: Final = b"sec-websocket-key"

_logger: Final = logging.getLogger(__name__)
# The library tells of every handshake, and strangers would fill the log.
_logger.setLevel(logging.WARNING)


class Answer(NamedTuple):
    """What a handshake is answered.

    Attributes:
        response: the HTTP response, ready to be written.
        accepted: whether the connection is a WebSocket from then on; else it ends.
        origin_allowed: whether it may stay: a browser learns the reason, close code 4503, only after it was accepted.
    """

    response: bytes
    accepted: bool
    origin_allowed: bool


def read(data: bytes) -> dict[bytes, bytes] | None:
    """Read what a connection begins with.

    Returns:
        The headers, their names in lower case; None for all but one whole usual request for a WebSocket.
    """
    if len(data) > _USUAL_BYTES or (found := _USUAL.fullmatch(data)) is None:
        return None
    headers: dict[bytes, bytes] = {}
    lines = found[1].split(b"\r\n")
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip(b" \t")
    if (
        not len(headers) == len(lines) - 1 <= _USUAL_HEADERS
        or b"host" not in headers
        or headers.get(b"upgrade", b"").lower() != b"websocket"
        or headers.get(b"connection", b"").lower() not in (b"upgrade", b"keep-alive, upgrade")
        or headers.get(b"sec-websocket-version") != b"13"
        or not _BODY.isdisjoint(headers)
        or _KEY.fullmatch(headers.get(_KEY_NAME, b"")) is None
    ):
        return None
    return headers


def accept(headers: dict[bytes, bytes], app: Starlette) -> Answer:
    """Answer a usual request by accepting it."""
    response = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(headers[_KEY_NAME].decode())}\r\n\r\n"
    )
    allowed = origin_allowed(app.state.settings, Headers(raw=list(headers.items())))
    return Answer(response.encode(), accepted=True, origin_allowed=allowed)


def answer(head: bytes, app: Starlette) -> Answer:
    """Answer a request for a WebSocket of any form.

    Args:
        head: the request, up to the empty line.
        app: with settings and worker in its state.
    """
    protocol = ServerProtocol(logger=_logger)
    protocol.receive_data(head)
    events = protocol.events_received()
    if not events:
        # The library could not read the request, and would hang up without a word.
        why = protocol.handshake_exc.__cause__ if protocol.handshake_exc is not None else None
        response = protocol.reject(HTTPStatus.BAD_REQUEST, f"Expected a WebSocket handshake, got none: {why}\n")
        return Answer(response.serialize(), accepted=False, origin_allowed=False)
    request = events[0]
    assert isinstance(request, Request)
    response = _response(protocol, request, app)
    protocol.send_response(response)
    accepted = response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
    allowed = accepted and _origin_allowed(request, app)
    return Answer(b"".join(protocol.data_to_send()), accepted, allowed)


def _response(protocol: ServerProtocol, request: Request, app: Starlette) -> Response:
    if request.path.partition("?")[0] != PATH:
        return protocol.reject(HTTPStatus.NOT_FOUND, f"Expected {PATH}, got another path\n")
    if app.state.worker.draining:
        response = protocol.reject(HTTPStatus.SERVICE_UNAVAILABLE, DRAINING + "\n")
        response.headers["Retry-After"] = "1"
        return response
    return protocol.accept(request)


def _origin_allowed(request: Request, app: Starlette) -> bool:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.raw_items()]
    return origin_allowed(app.state.settings, Headers(raw=raw))
