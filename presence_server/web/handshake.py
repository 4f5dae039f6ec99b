"""The opening handshake (RFC 6455, section 4.2): who may open a WebSocket here, and what it is answered."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from presence_server.web.origins import origin_allowed

if TYPE_CHECKING:
    from starlette.applications import Starlette

PATH: Final = "/v1/ws"
DRAINING: Final = "Expected a worker that stays, got one that drains: use another"
FOREIGN_ORIGIN: Final = "Expected an allowed Origin; see PRESENCE_ALLOWED_ORIGINS"

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


def answer(head: bytes, app: Starlette) -> Answer:
    """Answer a request for a WebSocket.

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
    if "Origin" not in request.headers:
        return True
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.raw_items()]
    return origin_allowed(app.state.settings, Headers(raw=raw))
