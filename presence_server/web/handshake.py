"""The opening handshake (RFC 6455, section 4.2): who may open a WebSocket here, and what it is answered.

One policy, asked by every way in: the protocol under uvicorn, for the first request of a TCP connection and for a later
one, and the endpoint for any other ASGI server.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response
from websockets.utils import accept_key

from presence_server import errors
from presence_server.core.codes import ErrorCode
from presence_server.web import problems
from presence_server.web.heads import Head
from presence_server.web.origins import origin_allowed

if TYPE_CHECKING:
    from starlette.applications import Starlette

PATH: Final = "/v1/ws"
DRAINING: Final = "Expected a worker that stays, got one that drains: use another"
FOREIGN_ORIGIN: Final = "Expected an allowed Origin; see PRESENCE_ALLOWED_ORIGINS"
NO_UPGRADE: Final = (
    "Expected a WebSocket handshake, got a plain request: a proxy has taken away 'Connection: Upgrade' and "
    "'Upgrade: websocket', or speaks HTTP/1.0. For nginx, set proxy_http_version 1.1 and both headers by "
    "proxy_set_header; see 'Load balancer' in docs/operations.md"
)

_VERSION: Final = b"13"
# 16 bytes, of which the last of the 22 digits carries four bits.
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_ADMISSION: Final = frozenset({b"host", b"origin"})
# Only a body would have them, and then the question is where it ends.
_BODY: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})


class Refusal(NamedTuple):
    """Why somebody may not come in.

    Attributes:
        status: of HTTP.
        code: for programs.
        detail: what was expected.
        headers: more headers.
        error: for whom the handshake is accepted all the same: a browser learns the reason, a close code, only after.
    """

    status: HTTPStatus
    code: ErrorCode
    detail: str
    headers: dict[str, str]
    error: errors.PresenceError | None = None

    def response(self) -> Response:
        """The answer over HTTP."""
        return problems.problem(self.status, self.code, self.status.phrase, self.detail, headers=self.headers)


class Answer(NamedTuple):
    """What a handshake is answered.

    Attributes:
        response: the HTTP response, ready to be written.
        accepted: whether the connection is a WebSocket from then on; else it ends.
        error: what to end the WebSocket with at once, if anything.
    """

    response: bytes
    accepted: bool
    error: errors.PresenceError | None = None


def is_wanted(head: Head) -> bool:
    """Tell whether a request asks for a WebSocket; any other upgrade is an offer to be ignored (RFC 9110, 7.8)."""
    return (
        b"websocket" in head.elements(b"upgrade")
        and b"upgrade" in head.elements(b"connection")
        and head.method == b"GET"
        and head.version == b"1.1"
    )


def answer(head: Head, app: Starlette) -> Answer:
    """Answer a request for a WebSocket.

    Args:
        head: the request.
        app: with settings and worker in its state.
    """
    # Of the others it wants to know nothing, and decoding them all costs as much as everything else.
    about = [header for header in head.headers if header[0] in _ADMISSION]
    refusal = objection(head) or admission(Headers(raw=about), app)
    if refusal is not None and refusal.error is None:
        return Answer(problems.written(refusal.response()), accepted=False)
    accepted = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(head.values(b'sec-websocket-key')[0].decode())}\r\n\r\n"
    )
    return Answer(accepted.encode(), accepted=True, error=None if refusal is None else refusal.error)


def admission(headers: Headers, app: Starlette) -> Refusal | None:
    """Tell why a handshake that is all right by the RFC is refused here, if it is."""
    if app.state.worker.draining:
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, ErrorCode.UNAVAILABLE, DRAINING, {"Retry-After": "1"})
    hosts = headers.getlist("host")
    if len(hosts) != 1:
        return _bad(f"Expected one Host, got {len(hosts) or 'none'}")
    if not origin_allowed(app.state.settings, headers):
        return Refusal(
            HTTPStatus.FORBIDDEN, ErrorCode.NOT_ALLOWED, FOREIGN_ORIGIN, {}, errors.NotAllowed(FOREIGN_ORIGIN)
        )
    return None


def objection(head: Head) -> Refusal | None:
    """What the RFC has against a request for a WebSocket."""
    if head.path != PATH.encode():
        return Refusal(HTTPStatus.NOT_FOUND, ErrorCode.NOT_FOUND, f"Expected {PATH}, got another path", {})
    if head.values(b"sec-websocket-version") != [_VERSION]:
        detail = f"Expected Sec-WebSocket-Version {_VERSION.decode()}, got another"
        headers = {"Sec-WebSocket-Version": _VERSION.decode()}
        return Refusal(HTTPStatus.UPGRADE_REQUIRED, ErrorCode.UPGRADE_REQUIRED, detail, headers)
    keys = head.values(b"sec-websocket-key")
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        return _bad("Expected one Sec-WebSocket-Key of 16 bytes in base64, got something else")
    if not _BODY.isdisjoint(name for name, _ in head.headers):
        return _bad("Expected a handshake without a body, got one with")
    return None


def _bad(detail: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, ErrorCode.BAD_MESSAGE, detail, {})
