"""Errors over HTTP: `application/problem+json` (RFC 9457) with the contract's `code`."""

from __future__ import annotations

import http
import math
from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ExceptionHandler

from presence_server import errors
from presence_server.core.codes import ErrorCode
from presence_server.core.decoding import printable
from presence_server.web.bodies import NO_STORE

MEDIA_TYPE: Final = "application/problem+json"

UNAVAILABLE_RETRY_S: Final = 2
"""`Retry-After` while Redis is away: an outage ends when it ends, and asking costs little."""

_CODES: Final = {http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE: errors.TooLarge.code}


def problem(
    status: int, code: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Return a problem answer.

    Args:
        status: the HTTP status.
        code: what went wrong, for programs.
        title: the same for people, the same for every occurrence.
        detail: what is special about this occurrence, and what to do about it.
        headers: more headers.
        members: more members of the object.
    """
    content = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": printable(detail),
        "code": code,
        **members,
    }
    return Response(orjson.dumps(content), status, headers={**NO_STORE, **(headers or {})}, media_type=MEDIA_TYPE)


def written(response: Response) -> bytes:
    """An answer as it is sent where there is no application to send it, with which the connection ends."""
    status = http.HTTPStatus(response.status_code)
    lines = [b"HTTP/1.1 %d %b" % (status, status.phrase.encode()), b"connection: close"]
    lines += [b"%b: %b" % header for header in response.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


def handlers() -> dict[Any, ExceptionHandler]:
    """Return Starlette's `exception_handlers`: every error of the HTTP API is a problem answer."""
    return {
        errors.PresenceError: _on_presence_error,
        HTTPException: _on_http_exception,
        ClientDisconnect: _on_disconnect,
        Exception: _on_bug,
    }


async def _on_presence_error(connection: HTTPConnection, exc: Exception) -> Response:
    assert isinstance(exc, errors.PresenceError)
    _count(connection, exc.code)
    headers = {}
    members: dict[str, Any] = {}
    if exc.http_status == 401:
        # RFC 6750, section 3.1: a request that brought no token at all is not told of an error.
        error = ', error="invalid_token"' if "authorization" in connection.headers else ""
        headers["WWW-Authenticate"] = f'Bearer realm="presence"{error}'
    if isinstance(exc, errors.RateLimited):
        headers["Retry-After"] = str(math.ceil(exc.retry_ms / 1000))
        members["retry_ms"] = exc.retry_ms
    elif exc.http_status == 503:
        headers["Retry-After"] = str(UNAVAILABLE_RETRY_S)
    return problem(exc.http_status, exc.code, exc.title, str(exc), headers=headers, **members)


async def _on_http_exception(connection: HTTPConnection, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    status = http.HTTPStatus(exc.status_code)
    code = _CODES.get(status, status.name.lower())
    detail = exc.detail
    headers = dict(exc.headers or {})
    if exc.status_code == 404:
        detail = "Expected a path of the API, which /openapi.json describes, got another"
    elif exc.status_code == 405:
        # In the order of the alphabet, since some of Starlette's routes give it in any.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
        detail = f"Expected one of {headers['Allow']}, got {connection.scope['method']}"
    return problem(status, code, status.phrase, detail, headers=headers)


async def _on_disconnect(connection: HTTPConnection, exc: Exception) -> Response:
    # Nobody reads it; it stands for a request given up half-way, which is no bug of ours.
    return problem(400, errors.BadMessage.code, errors.BadMessage.title, "Expected the whole body, got a part of it")


async def _on_bug(connection: HTTPConnection, exc: Exception) -> Response:
    # Not logged here: Starlette raises it on, and the server logs it with its traceback.
    _count(connection, ErrorCode.INTERNAL_ERROR)
    detail = "Something went wrong, which the server's log tells about"
    return problem(500, ErrorCode.INTERNAL_ERROR, "Internal error", detail)


def _count(connection: HTTPConnection, code: str) -> None:
    connection.app.state.worker.counters.refusals[code] += 1
